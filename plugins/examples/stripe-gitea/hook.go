package main

import (
	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/storage"
)

const hookKey = "gitea-hook" // in the storage

// subscribe lets Gitea tell of issues in the chosen repository, and of no other.
func subscribe(c *integration.Call) error {
	cfg, err := integration.Config[config](c)
	if err != nil {
		return err
	}
	made, found, err := storage.Get[giteaapi.WebhookArgs](c.Storage(), hookKey)
	if err != nil || found && made.Repository == cfg.Repository {
		return err
	}
	if found {
		if err := unsubscribe(c); err != nil {
			return err
		}
	}
	if cfg.Repository == "" {
		return nil // not configured yet
	}
	endpoint, err := c.Webhook(gitea)
	if err != nil {
		return err
	}
	hook, err := integration.CallModule(c, gitea, giteaapi.CreateWebhook, giteaapi.NewWebhook{
		Repository: cfg.Repository, URL: endpoint.URL, Secret: endpoint.Secret, Events: []string{"issues"},
	})
	if err != nil {
		return err
	}
	return c.Storage().Put(hookKey, giteaapi.WebhookArgs{Repository: cfg.Repository, ID: hook.ID})
}

// unsubscribe removes the webhook. Where the account has lost its rights there is nothing left to do.
func unsubscribe(c *integration.Call) error {
	made, found, err := storage.Get[giteaapi.WebhookArgs](c.Storage(), hookKey)
	if err != nil || !found {
		return err
	}
	_, err = integration.CallModule(c, gitea, giteaapi.DeleteWebhook, made)
	if frigg.Is(err, frigg.KindUnauthorized, frigg.KindForbidden, frigg.KindNotFound) {
		c.Log().Warn("a webhook stays behind in Gitea", "repository", made.Repository, "hook", made.ID, "why", err)
		err = nil
	}
	if err != nil {
		return err
	}
	return c.Storage().Delete(hookKey)
}
