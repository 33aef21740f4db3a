package main

import (
	"time"

	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/examples/stripe/stripeapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

// Keys of a customer's metadata.
const (
	keyState    = "onboarding" // stateOpen or stateDone
	keyIssue    = "onboarding_issue"
	keyClosedAt = "onboarding_closed_at"

	stateOpen = "open"
	stateDone = "done"
)

// onIssue writes an issue's state to its customer. It asks Gitea for the state instead of believing the event, because events
// may arrive late and in another order.
func onIssue(c *integration.Call, w integration.Webhook[giteaapi.IssueEvent]) error {
	if w.Body.Action != "closed" && w.Body.Action != "reopened" {
		return nil
	}
	ref := reference(w.Body.Repository.FullName, w.Body.Issue.Number)
	customerID, found, err := links(c).Left(ref)
	if err != nil || !found {
		return err // an issue of somebody else
	}
	issue, err := integration.CallModule(c, gitea, giteaapi.GetIssue, parseReference(ref))
	if err != nil {
		return err
	}
	err = mark(c, customerID, issue)
	if frigg.Is(err, frigg.KindNotFound) {
		return c.Warn("Customer is gone", "Issue "+ref+" changed, but Stripe has no customer "+customerID+" any more.")
	}
	return err
}

// mark writes an issue's state to a customer's metadata. Writing the same again changes nothing.
func mark(c *integration.Call, customerID string, issue giteaapi.Issue) error {
	metadata := map[string]string{keyState: stateOpen, keyIssue: issue.HTMLURL, keyClosedAt: ""}
	if issue.State == giteaapi.Closed {
		metadata[keyState] = stateDone
		if issue.ClosedAt != nil {
			metadata[keyClosedAt] = issue.ClosedAt.UTC().Format(time.RFC3339)
		}
	}
	_, err := integration.CallModule(c, stripe, stripeapi.UpdateCustomer, stripeapi.CustomerChange{ID: customerID, Metadata: metadata})
	return err
}
