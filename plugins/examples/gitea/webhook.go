package main

import (
	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
)

func listWebhooks(c *module.Call, in giteaapi.ListWebhooksArgs) (frigg.Page[giteaapi.Webhook], error) {
	path, err := repoPath(in.Repository)
	if err != nil {
		return frigg.Page[giteaapi.Webhook]{}, err
	}
	return page[giteaapi.Webhook](c, path+"/hooks", in.Cursor)
}

// createWebhook replaces the webhook that an earlier try made and whose answer was lost; its address tells. Changing it would
// not do: Gitea keeps the old secret then.
func createWebhook(c *module.Call, in giteaapi.NewWebhook) (giteaapi.Webhook, error) {
	path, err := repoPath(in.Repository)
	if err != nil {
		return giteaapi.Webhook{}, err
	}
	hooks, err := frigg.Collect(frigg.Each(func(cursor string) (frigg.Page[giteaapi.Webhook], error) {
		return page[giteaapi.Webhook](c, path+"/hooks", cursor)
	}), 1000)
	if err != nil {
		return giteaapi.Webhook{}, err
	}
	for _, hook := range hooks {
		if hook.Config.URL != in.URL {
			continue
		}
		if _, err := deleteWebhook(c, giteaapi.WebhookArgs{Repository: in.Repository, ID: hook.ID}); err != nil {
			return giteaapi.Webhook{}, err
		}
	}
	return module.Post[giteaapi.Webhook](c, path+"/hooks", map[string]any{
		"type": "gitea", "active": true, "events": in.Events,
		"config": map[string]any{"url": in.URL, "content_type": "json", "secret": in.Secret},
	})
}

func deleteWebhook(c *module.Call, in giteaapi.WebhookArgs) (frigg.None, error) {
	path, err := repoPath(in.Repository)
	if err != nil {
		return frigg.None{}, err
	}
	err = module.Delete(c, path+module.Path("/hooks/%d", in.ID))
	if frigg.Is(err, frigg.KindNotFound) {
		return frigg.None{}, nil
	}
	return frigg.None{}, err
}
