package main

import (
	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/examples/stripe/stripeapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

// config is what a person chooses. The signing secret is for the host, which verifies Stripe's webhooks with it.
type config struct {
	Repository string `json:"repository"`
	Label      string `json:"label"`
}

const defaultLabel = "onboarding"

func (c config) label() string {
	if c.Label == "" {
		return defaultLabel
	}
	return c.Label
}

func configForm(c *integration.Call, in config) (frigg.Form, error) {
	repositories, err := ourRepositories(c, in.Repository)
	if err != nil {
		return frigg.Form{}, err
	}
	endpoint, err := stripeEndpoint(c)
	if err != nil {
		return frigg.Form{}, err
	}
	return frigg.Form{
		Title: "Onboarding",
		Fields: []frigg.Field{
			{
				Name: "repository", Title: "Repository", Help: "Where issues are opened. You need admin rights there, for its webhook.",
				Required: true, Options: frigg.Options(repositories...),
			},
			{Name: "label", Title: "Label", Help: "Put on each issue.", Default: defaultLabel, MaxLength: 50},
			{
				Name: "stripe_webhook_secret", Title: "Signing secret of Stripe's webhook", Format: "password", Placeholder: "whsec_...",
				Help: "In Stripe add " + endpoint + " as an endpoint for the event " + stripeapi.CustomerCreated +
					" and paste its signing secret here. Without it new customers are found by Sync now only.",
			},
		},
	}, nil
}

// stripeEndpoint is where Stripe shall send. A record that is still being created has no address yet.
func stripeEndpoint(c *integration.Call) (string, error) {
	hook, err := c.Webhook(stripe)
	if frigg.Is(err, frigg.KindNotFound) {
		return "the address that this form shows after it was saved", nil
	}
	return hook.URL, err
}

// ourRepositories lists where the account may add webhooks, and the one that is chosen already.
func ourRepositories(c *integration.Call, chosen string) ([]string, error) {
	all, err := frigg.Collect(frigg.Each(func(cursor string) (frigg.Page[giteaapi.Repository], error) {
		return integration.CallModule(c, gitea, giteaapi.ListRepos, giteaapi.ListReposArgs{Cursor: cursor})
	}), 500)
	if err != nil {
		return nil, err
	}
	names, found := []string{}, chosen == ""
	for _, r := range all {
		if r.Permissions.Admin && !r.Archived {
			names, found = append(names, r.FullName), found || r.FullName == chosen
		}
	}
	if !found {
		names = append(names, chosen)
	}
	return names, nil
}

func validate(c *integration.Call, in config) ([]integration.Problem, error) {
	if in.Repository == "" {
		return []integration.Problem{{Field: "repository", Missing: true}}, nil
	}
	repo, err := integration.CallModule(c, gitea, giteaapi.GetRepo, giteaapi.RepoArgs{Repository: in.Repository})
	switch {
	case frigg.Is(err, frigg.KindNotFound, frigg.KindInvalid):
		return []integration.Problem{{Field: "repository", Message: "there is no such repository, or the Gitea account cannot see it"}}, nil
	case err != nil:
		return nil, err
	case !repo.Permissions.Admin:
		return []integration.Problem{{Field: "repository", Message: "the Gitea account needs admin rights there, for the webhook"}}, nil
	case repo.Archived:
		return []integration.Problem{{Field: "repository", Message: "the repository is archived; choose another"}}, nil
	}
	return nil, nil
}
