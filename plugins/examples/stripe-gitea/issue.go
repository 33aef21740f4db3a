package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/examples/stripe/stripeapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

// links connect a customer's id with a reference to its issue.
func links(c *integration.Call) integration.Links {
	return integration.LinksOf(c, "customers", "issues")
}

// claim notes that an issue is being opened: where, and since when.
type claim struct {
	Repository string    `json:"repository"`
	At         time.Time `json:"at"`
}

func claims(c *integration.Call) integration.Mapping[claim] {
	return integration.Map[claim](c, "claims")
}

// reference names an issue across repositories, as Gitea writes it: owner/name#12.
func reference(repository string, number int64) string {
	return fmt.Sprintf("%s#%d", repository, number)
}

func parseReference(ref string) giteaapi.IssueArgs {
	repository, number, _ := strings.Cut(ref, "#")
	n, _ := strconv.ParseInt(number, 10, 64) // written by reference
	return giteaapi.IssueArgs{Repository: repository, Number: n}
}

func onCustomer(c *integration.Call, w integration.Webhook[stripeapi.CustomerEvent]) error {
	return openOnce(c, w.Body.Data.Object)
}

// openOnce opens the issue of a customer unless there is one. Gitea does not recognise a repeated request, so an intention is
// noted first; where one was noted before, an earlier try may have opened the issue. It must only run in events: those of a
// record come one after the other.
func openOnce(c *integration.Call, customer stripeapi.Customer) error {
	if _, found, err := links(c).Right(customer.ID); err != nil || found {
		return err
	}
	cfg, err := integration.Config[config](c)
	if err != nil {
		return err
	}
	if cfg.Repository == "" {
		return frigg.Invalid("choose a repository first")
	}
	issue, repository, err := openedBefore(c, customer.ID)
	if err == nil && issue == nil {
		repository = cfg.Repository
		issue, err = open(c, cfg, customer)
	}
	if err != nil {
		return err
	}
	if err := mark(c, customer.ID, *issue); err != nil {
		return err
	}
	if err := links(c).Join(customer.ID, reference(repository, issue.Number)); err != nil {
		return err
	}
	return claims(c).Delete(customer.ID)
}

// openedBefore finds the issue that an earlier try opened.
func openedBefore(c *integration.Call, customerID string) (*giteaapi.Issue, string, error) {
	noted, found, err := claims(c).Get(customerID)
	if err != nil || !found {
		return nil, "", err
	}
	since := noted.At.Add(-time.Hour) // clocks differ
	all := frigg.Each(func(cursor string) (frigg.Page[giteaapi.Issue], error) {
		return integration.CallModule(c, gitea, giteaapi.ListIssues, giteaapi.ListIssuesArgs{
			Repository: noted.Repository, State: giteaapi.All, Since: &since, Cursor: cursor,
		})
	})
	for issue, err := range all {
		if err != nil {
			return nil, "", err
		}
		if strings.HasPrefix(issue.Body, marker(customerID)) {
			return &issue, noted.Repository, nil
		}
	}
	return nil, "", nil
}

func open(c *integration.Call, cfg config, customer stripeapi.Customer) (*giteaapi.Issue, error) {
	if err := claims(c).Put(customer.ID, claim{cfg.Repository, time.Now().UTC()}); err != nil {
		return nil, err
	}
	issue, err := integration.CallModule(c, gitea, giteaapi.CreateIssue, giteaapi.NewIssue{
		Repository: cfg.Repository,
		Title:      "Onboard " + caption(customer),
		Body:       body(customer),
		Labels:     []string{cfg.label()},
	})
	return &issue, err
}

// marker is how an issue tells whose it is. It opens the body, where no text of the customer can stand.
func marker(customerID string) string { return "<!-- stripe customer " + customerID + " -->" }

func body(customer stripeapi.Customer) string {
	dashboard := "https://dashboard.stripe.com/"
	if !customer.LiveMode {
		dashboard += "test/"
	}
	return marker(customer.ID) + "\n" +
		"A new customer in Stripe: [" + customer.ID + "](" + dashboard + "customers/" + customer.ID + ")\n\n" +
		"- Name: " + oneLine(customer.Name) + "\n" +
		"- E-mail: " + oneLine(customer.Email) + "\n\n" +
		"Closing this issue marks the customer as onboarded."
}

// caption is what people call a customer.
func caption(customer stripeapi.Customer) string {
	for _, text := range []string{customer.Name, customer.Email, customer.ID} {
		if text = oneLine(text); text != "" {
			return text
		}
	}
	return "a customer"
}

// oneLine keeps what customers type from breaking out of its place.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 150 {
		text = string(r[:150]) + "…"
	}
	return text
}
