package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/integration"
)

type webhookCmd struct {
	Unrouted webhookUnroutedCmd `cmd:"" help:"List webhooks of applications that went to nobody."`
	Route    webhookRouteCmd    `cmd:"" help:"Route one again, after its account was connected."`
}

type webhookUnroutedCmd struct {
	dataFlags `embed:""`

	Before string `help:"Only events older than the one with this id."`
	Limit  int    `default:"50" help:"At most so many, 1 to 1000."`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// Help has the examples of `webhook unrouted --help`.
func (webhookUnroutedCmd) Help() string {
	return `An application's vendor sends events of all its accounts to one address. Those of an account that no integration uses are
acknowledged and kept; so are those of an account that is ambiguous. The host may be running.

Example:
  frigg-host webhook unrouted --data /var/lib/frigg`
}

type unroutedWebhook struct {
	ID         integration.EventID       `json:"id"`
	Plugin     string                    `json:"plugin"`
	Webhook    string                    `json:"webhook"`
	Account    string                    `json:"account"`
	State      integration.AppEventState `json:"state"`
	ReceivedAt time.Time                 `json:"received_at"`
}

func (c *webhookUnroutedCmd) Run(ctx context.Context, s streams) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return &exitError{exitUsage, "--limit must be between 1 and 1000"}
	}
	return c.opened(ctx, s, func(h *host.Host) error {
		states := []integration.AppEventState{integration.Routing, integration.Unrouted, integration.Ambiguous}
		found, err := h.Integrations.AppEvents(ctx, states, integration.EventID(c.Before), c.Limit)
		if err != nil {
			return err
		}
		out := make([]unroutedWebhook, 0, len(found))
		for _, e := range found {
			out = append(out, unroutedWebhook{e.ID, e.Plugin, e.Webhook, e.Account, e.State, e.ReceivedAt})
		}
		if c.JSON {
			return printJSON(s.out, out)
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, e := range out {
			fmt.Fprintf(w, "%s\t%s\t%s\t%q\t%s\t%s\n", e.ID, e.Plugin, e.Webhook, e.Account, e.State, e.ReceivedAt.Format(time.RFC3339))
		}
		return w.Flush()
	})
}

type webhookRouteCmd struct {
	dataFlags `embed:""`

	ID string `arg:"" help:"Id of the event."`
}

// Help has the examples of `webhook route --help`.
func (webhookRouteCmd) Help() string {
	return `The event goes to every integration that uses its account by now, and is worked off by the host when it runs.

Example:
  frigg-host webhook route evt_0198c0de-0000-7000-8000-000000000000 --data /var/lib/frigg`
}

func (c *webhookRouteCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host) error {
		state, err := h.Integrations.Reroute(ctx, integration.EventID(c.ID))
		if err == nil {
			_, err = fmt.Fprintf(s.out, "%s is %s\n", c.ID, state)
		}
		return err
	})
}
