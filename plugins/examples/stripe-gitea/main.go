// Command stripe-gitea is an integration: a new Stripe customer opens an issue in Gitea, and closing the issue writes back to
// the customer.
package main

import (
	"github.com/frigg-host/frigg-host/plugins/examples/stripe/stripeapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

// The roles, which are also the names of their webhooks.
const (
	stripe = "stripe"
	gitea  = "gitea"
)

// Own events.
const (
	syncPage  integration.Event[page]     = "SYNC_PAGE"
	openIssue integration.Event[onlyThis] = "OPEN_ISSUE"
)

func init() {
	integration.ConfigForm(configForm)
	integration.ValidateConfig(validate)
	integration.OnCreate(subscribe)
	integration.OnUpdate(subscribe)
	integration.OnDelete(unsubscribe)

	integration.OnWebhook(stripe, stripeapi.CustomerCreated, onCustomer)
	integration.OnWebhook(gitea, "issues", onIssue)

	integration.Action("SYNC_NOW", syncNow)
	integration.On(syncPage, onSyncPage)
	integration.On(openIssue, onOpenIssue)
	integration.Action("OPEN_ISSUE_FOR_CUSTOMER", openForCustomer)
	integration.ActionForm("OPEN_ISSUE_FOR_CUSTOMER", chooseCustomer)
	integration.Action("GET_SAMPLE_DATA", sampleData)
}

func main() {}
