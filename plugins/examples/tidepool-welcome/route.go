package main

import (
	"github.com/frigg-host/frigg-host/plugins/examples/tidepool/tidepoolapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

// draft is a title that somebody thinks about, and a contact to try it with.
type draft struct {
	TaskTitle string `json:"task_title"`
	Name      string `json:"name"`
	Company   string `json:"company"`
}

type preview struct {
	Title string `json:"title"`
}

// showPreview answers the title that a task would have, to anybody: it needs no account.
func showPreview(_ *integration.Call, r integration.Request[draft]) (integration.Reply, error) {
	title := config{TaskTitle: r.Body.TaskTitle}.title(tidepoolapi.Contact{Name: r.Body.Name, Company: r.Body.Company})
	return integration.ReplyJSON(200, preview{title})
}

// welcomed says what became of a contact.
type welcomed struct {
	Name     string `json:"name"`
	Welcomed bool   `json:"welcomed"`
	Task     string `json:"task,omitempty"`
}

// showContact answers whether a contact of the caller's account has been welcomed.
func showContact(c *integration.Call, r integration.Request[frigg.None]) (integration.Reply, error) {
	contact, err := integration.CallModule(c, crm, tidepoolapi.GetContact, tidepoolapi.ContactArgs{ID: r.Param["contact"]})
	if err != nil {
		return integration.Reply{}, err
	}
	p, _, err := welcomes(c).Get(contact.ID)
	if err != nil {
		return integration.Reply{}, err
	}
	return integration.ReplyJSON(200, welcomed{Name: contact.Name, Welcomed: p.ID != "", Task: p.Plan.Title})
}
