package main

import (
	"cmp"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/plugins/examples/tidepool/tidepoolapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

type config struct {
	TaskTitle    string `json:"task_title"`
	DaysUntilDue *int   `json:"days_until_due"`
}

func (c config) title(contact tidepoolapi.Contact) string {
	title := cmp.Or(c.TaskTitle, "Welcome {name}")
	return cut(strings.NewReplacer("{name}", contact.Name, "{company}", contact.Company).Replace(title))
}

func (c config) dueOn() string {
	days := 3
	if c.DaysUntilDue != nil {
		days = *c.DaysUntilDue
	}
	return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly)
}

// cut keeps a title within what Tidepool takes.
func cut(title string) string {
	if r := []rune(title); len(r) > 200 {
		return string(r[:199]) + "…"
	}
	return title
}

func onContact(c *integration.Call, w integration.Webhook[tidepoolapi.Event[tidepoolapi.Contact]]) error {
	return welcome(c, w.Body.Data)
}

func welcome(c *integration.Call, contact tidepoolapi.Contact) error {
	return createOnce(c, welcomes(c), contact.ID, func() (tidepoolapi.NewTask, error) {
		cfg, err := integration.Config[config](c)
		return tidepoolapi.NewTask{Title: cfg.title(contact), ContactID: contact.ID, DueOn: cfg.dueOn(), Key: "welcome-" + contact.ID}, err
	}, func(task tidepoolapi.NewTask) error {
		_, err := integration.CallModule(c, crm, tidepoolapi.CreateNote, tidepoolapi.NewNote{
			ContactID: contact.ID, Body: "Welcome task created: " + task.Title, Key: "welcome-note-" + contact.ID,
		})
		return err
	})
}

func onDealWon(c *integration.Call, w integration.Webhook[tidepoolapi.Event[tidepoolapi.Deal]]) error {
	deal := w.Body.Data
	return createOnce(c, integration.Map[promise](c, "thanks"), deal.ID, func() (tidepoolapi.NewTask, error) {
		return tidepoolapi.NewTask{Title: cut("Say thank you for " + deal.Title), ContactID: deal.ContactID, DealID: deal.ID, Key: "thanks-" + deal.ID}, nil
	}, nil)
}

// promise is a task as it was planned, and its id once it exists.
type promise struct {
	Plan tidepoolapi.NewTask `json:"plan"`
	ID   string              `json:"id,omitempty"`
}

func welcomes(c *integration.Call) integration.Mapping[promise] {
	return integration.Map[promise](c, "welcomes")
}

// createOnce creates one task for id and then does the rest, however often it is tried. The plan is kept before the first try,
// because Tidepool recognises a repeated request by its key only if it says the same again.
func createOnce(c *integration.Call, promises integration.Mapping[promise], id string,
	plan func() (tidepoolapi.NewTask, error), rest func(tidepoolapi.NewTask) error,
) error {
	p, found, err := promises.Get(id)
	if err != nil || found && p.ID != "" {
		return err
	}
	if !found {
		if p.Plan, err = plan(); err != nil {
			return err
		}
		if err := promises.Put(id, p); err != nil {
			return err
		}
	}
	task, err := integration.CallModule(c, crm, tidepoolapi.CreateTask, p.Plan)
	if err == nil && rest != nil {
		err = rest(p.Plan)
	}
	if frigg.Is(err, frigg.KindInvalid, frigg.KindNotFound) && isGone(c, p.Plan.ContactID) {
		c.Log().Info("nothing to do: the contact was deleted", "contact", p.Plan.ContactID)
		return nil
	}
	if err != nil {
		return err
	}
	p.ID = task.ID
	return promises.Put(id, p)
}

func isGone(c *integration.Call, contactID string) bool {
	_, err := integration.CallModule(c, crm, tidepoolapi.GetContact, tidepoolapi.ContactArgs{ID: contactID})
	return frigg.Is(err, frigg.KindNotFound)
}
