// Command flow is an integration that does what a test tells it: its actions and its webhooks carry the order.
package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/host/testdata/guests/behave"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/storage"
)

// later is work that an order puts off.
const later integration.Event[behave.Order] = "LATER"

// ticked is the event of schedules.
const ticked integration.Event[string] = "TICKED"

// news is what an order lets it tell the embedding product.
const news integration.Notification[string] = "TOLD"

func init() {
	integration.OnCreate(func(c *integration.Call) error { return c.Storage().Put("created", c.Integration.ID) })
	integration.Action("DO", func(c *integration.Call, o behave.Order) ([]any, error) { return behave.Follow(guest{c}, o) })
	integration.Action("GET_SAMPLE_DATA", func(c *integration.Call, _ frigg.None) ([]map[string]string, error) {
		return []map[string]string{{"id": c.Integration.ID}}, nil
	})
	for _, webhook := range []string{"typed", "made"} {
		integration.OnWebhook(webhook, integration.AnyEvent, func(c *integration.Call, w integration.Webhook[behave.Order]) error {
			return follow(c, w.Body)
		})
	}
	integration.On(later, follow)
	integration.OnTick(ticked, func(c *integration.Call, t integration.Tick[string]) error {
		return c.Storage().Put("told", fmt.Sprint(t.Schedule, " ", t.At.Format(time.RFC3339), " ", t.Data))
	})
}

func follow(c *integration.Call, o behave.Order) error {
	_, err := behave.Follow(guest{c}, o)
	return err
}

type guest struct{ *integration.Call }

func (g guest) HTTP(role string) rest.Client { return g.Call.HTTP(role) }

type config struct {
	Passphrase frigg.Handle `json:"passphrase"`
}

func (g guest) Own(s behave.Step) (any, bool, error) {
	switch s.Do {
	case "call":
		out, err := integration.CallModule(g.Call, s.Role, frigg.Method[any, any](s.Method), any(s.Body))
		return out, true, err
	case "log":
		for range max(s.Number, 1) {
			g.Log().Info(s.Text)
		}
		return "logged", true, nil
	case "tell":
		var config map[string]any
		_ = json.Unmarshal(g.Integration.Config, &config)
		delete(config, "note") // which was told before
		return "told", true, g.tell(s.Text + behave.Known(config, g.Integration.Entities, s))
	case "told":
		told, _, err := storage.Get[string](g.Storage(), "told")
		return told, true, err
	case "later":
		return "enqueued", true, integration.Enqueue(g.Call, later, behave.Order{Steps: []behave.Step{{Do: s.Method, Text: s.Text}}})
	case "schedule":
		return "scheduled", true, integration.Schedule(g.Call, s.Text, ticked, integration.At(time.Unix(int64(max(1, s.Number)), 0)), s.Method)
	case "schedules":
		all, err := g.Schedules()
		return all, true, err
	case "notify":
		return "notified", true, integration.Notify(g.Call, news, s.Text)
	case "endpoint":
		e, err := g.Webhook(s.Text)
		if err != nil {
			return nil, true, err
		}
		_, err = rest.Post[string](g.HTTP(s.Role), s.URL, map[string]any{"url": e.URL, "secret": e.Secret})
		return e, true, err
	case "passphrase":
		config, err := integration.Config[config](g.Call)
		if err != nil {
			return nil, true, err
		}
		text, err := rest.Post[string](g.HTTP(s.Role), s.URL, map[string]any{"passphrase": config.Passphrase}, rest.Header("x-passphrase", string(config.Passphrase)))
		return text, true, err
	}
	return nil, false, nil
}

// tell leaves a text wherever a guest can leave one.
func (g guest) tell(all string) error {
	g.Log().Debug(all)
	g.Log().Error(all)
	println(all)
	if err := g.Storage().Put("told", all); err != nil {
		return err
	}
	if err := integration.Map[string](g.Call, "told").Put("told", all); err != nil {
		return err
	}
	if err := g.Warn("told", all); err != nil {
		return err
	}
	if err := g.UpdateConfig(map[string]string{"note": all}); err != nil {
		return err
	}
	return integration.Enqueue(g.Call, later, behave.Order{Steps: []behave.Step{{Do: "say", Text: all}}})
}

func main() {}
