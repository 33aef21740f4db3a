// Command tidepool-welcome is an integration for the demo vendor: new contacts get a welcome task and a note, deals that are
// won a thank-you task.
package main

import (
	"github.com/frigg-host/frigg-host/plugins/examples/tidepool/tidepoolapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/storage"
)

const (
	crm     = "crm"           // the role
	webhook = "tidepool"      // as declared in the manifest
	hookKey = "tidepool-hook" // in the storage
)

// syncPage is an own event; its data is the cursor of a page.
const syncPage integration.Event[string] = "SYNC_PAGE"

func init() {
	integration.OnCreate(subscribe)
	integration.OnDelete(unsubscribe)
	integration.OnWebhook(webhook, tidepoolapi.ContactCreated, onContact)
	integration.OnWebhook(webhook, tidepoolapi.DealWon, onDealWon)
	integration.Action("SYNC_NOW", syncNow)
	integration.On(syncPage, onSyncPage)
	integration.Action("GET_SAMPLE_DATA", sampleData)
	integration.Route("POST /preview", showPreview)
	integration.Route("GET /:integrationId/contacts/:contact", showContact)
}

func subscribe(c *integration.Call) error {
	endpoint, err := c.Webhook(webhook)
	if err != nil {
		return err
	}
	hook, err := integration.CallModule(c, crm, tidepoolapi.CreateWebhook, tidepoolapi.NewWebhook{
		URL: endpoint.URL, Secret: endpoint.Secret, Events: []string{tidepoolapi.ContactCreated, tidepoolapi.DealWon},
	})
	if err != nil {
		return err
	}
	return c.Storage().Put(hookKey, tidepoolapi.WebhookArgs{ID: hook.ID})
}

func unsubscribe(c *integration.Call) error {
	hook, found, err := storage.Get[tidepoolapi.WebhookArgs](c.Storage(), hookKey)
	if err != nil || !found {
		return err
	}
	_, err = integration.CallModule(c, crm, tidepoolapi.DeleteWebhook, hook)
	if frigg.Is(err, frigg.KindUnauthorized, frigg.KindForbidden) {
		c.Log().Warn("a webhook stays behind in Tidepool", "hook", hook.ID, "why", err)
		err = nil
	}
	return err
}

func main() {}
