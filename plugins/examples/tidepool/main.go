// Command tidepool is the API module for Tidepool CRM, the demo vendor.
package main

import (
	"strconv"

	"github.com/frigg-host/frigg-host/plugins/examples/tidepool/tidepoolapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

func init() {
	module.Method(tidepoolapi.ListContacts, listContacts)
	module.Method(tidepoolapi.GetContact, getContact)
	module.Method(tidepoolapi.CreateContact, createContact)
	module.Method(tidepoolapi.UpdateContact, updateContact)
	module.Method(tidepoolapi.CreateNote, createNote)
	module.Method(tidepoolapi.CreateTask, createTask)
	module.Method(tidepoolapi.ListTasks, listTasks)
	module.Method(tidepoolapi.CreateWebhook, createWebhook)
	module.Method(tidepoolapi.DeleteWebhook, deleteWebhook)
}

func listContacts(c *module.Call, in tidepoolapi.ListArgs) (frigg.Page[tidepoolapi.Contact], error) {
	return list[tidepoolapi.Contact](c, "/api/v1/contacts", in)
}

func listTasks(c *module.Call, in tidepoolapi.ListArgs) (frigg.Page[tidepoolapi.Task], error) {
	return list[tidepoolapi.Task](c, "/api/v1/tasks", in)
}

func list[T any](c *module.Call, path string, in tidepoolapi.ListArgs) (frigg.Page[T], error) {
	limit := ""
	if in.Limit > 0 {
		limit = strconv.Itoa(in.Limit)
	}
	rows, err := module.Get[struct {
		Data []T    `json:"data"`
		Next string `json:"next_cursor"`
	}](c, path, rest.Query("limit", limit), rest.Query("cursor", in.Cursor), rest.Query("updated_since", in.UpdatedSince))
	return frigg.Page[T]{Items: rows.Data, Next: rows.Next}, err
}

func getContact(c *module.Call, in tidepoolapi.ContactArgs) (tidepoolapi.Contact, error) {
	if in.ID == "" {
		return tidepoolapi.Contact{}, frigg.Invalid("the id of the contact is missing")
	}
	return module.Get[tidepoolapi.Contact](c, module.Path("/api/v1/contacts/%s", in.ID))
}

func createContact(c *module.Call, in tidepoolapi.NewContact) (tidepoolapi.Contact, error) {
	return module.Post[tidepoolapi.Contact](c, "/api/v1/contacts", in.ContactFields, rest.IdempotencyKey(in.Key))
}

func updateContact(c *module.Call, in tidepoolapi.ContactChange) (tidepoolapi.Contact, error) {
	return module.Patch[tidepoolapi.Contact](c, module.Path("/api/v1/contacts/%s", in.ID), in.ContactFields)
}

func createNote(c *module.Call, in tidepoolapi.NewNote) (tidepoolapi.Note, error) {
	return module.Post[tidepoolapi.Note](c, module.Path("/api/v1/contacts/%s/notes", in.ContactID),
		map[string]string{"body": in.Body}, rest.IdempotencyKey(in.Key))
}

func createTask(c *module.Call, in tidepoolapi.NewTask) (tidepoolapi.Task, error) {
	key := in.Key
	in.Key = "" // Tidepool knows it as a header only
	return module.Post[tidepoolapi.Task](c, "/api/v1/tasks", in, rest.IdempotencyKey(key))
}

// createWebhook replaces the webhook that an earlier try made and whose answer was lost; its address tells.
func createWebhook(c *module.Call, in tidepoolapi.NewWebhook) (tidepoolapi.Webhook, error) {
	hooks, err := frigg.Collect(frigg.Each(func(cursor string) (frigg.Page[tidepoolapi.Webhook], error) {
		return list[tidepoolapi.Webhook](c, "/api/v1/webhooks", tidepoolapi.ListArgs{Cursor: cursor})
	}), 100)
	if err != nil {
		return tidepoolapi.Webhook{}, err
	}
	for _, hook := range hooks {
		if hook.URL != in.URL {
			continue
		}
		if _, err := deleteWebhook(c, tidepoolapi.WebhookArgs{ID: hook.ID}); err != nil {
			return tidepoolapi.Webhook{}, err
		}
	}
	return module.Post[tidepoolapi.Webhook](c, "/api/v1/webhooks", in)
}

func deleteWebhook(c *module.Call, in tidepoolapi.WebhookArgs) (frigg.None, error) {
	err := module.Delete(c, module.Path("/api/v1/webhooks/%s", in.ID))
	if frigg.Is(err, frigg.KindNotFound) {
		err = nil
	}
	return frigg.None{}, err
}

func main() {}
