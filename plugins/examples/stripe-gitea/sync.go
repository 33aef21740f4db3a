package main

import (
	"github.com/frigg-host/frigg-host/plugins/examples/stripe/stripeapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

// page is a place in the list of customers.
type page struct {
	Cursor string `json:"cursor,omitempty"`
}

// onlyThis names a customer.
type onlyThis struct {
	Customer string `json:"customer"`
}

// said is what a person reads after an action.
type said struct {
	Message string `json:"message"`
}

func syncNow(c *integration.Call, _ frigg.None) (said, error) {
	return said{"Going through all customers; issues appear as they are opened."},
		integration.Enqueue(c, syncPage, page{}, integration.UniqueKey("sync"))
}

// onSyncPage looks at a page of customers and leaves the work on each to an event of its own.
func onSyncPage(c *integration.Call, in page) error {
	customers, err := integration.CallModule(c, stripe, stripeapi.ListCustomers, stripeapi.ListCustomersArgs{Limit: 50, Cursor: in.Cursor})
	if err != nil {
		return err
	}
	for _, customer := range customers.Items {
		_, found, err := links(c).Right(customer.ID)
		if err != nil {
			return err
		}
		if found {
			continue
		}
		if err := enqueueIssue(c, customer.ID); err != nil {
			return err
		}
	}
	if customers.Next == "" {
		return nil
	}
	return integration.Enqueue(c, syncPage, page{customers.Next})
}

func enqueueIssue(c *integration.Call, customerID string) error {
	return integration.Enqueue(c, openIssue, onlyThis{customerID}, integration.UniqueKey("open "+customerID))
}

func onOpenIssue(c *integration.Call, in onlyThis) error {
	customer, err := integration.CallModule(c, stripe, stripeapi.GetCustomer, stripeapi.CustomerArgs{ID: in.Customer})
	if frigg.Is(err, frigg.KindNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	return openOnce(c, customer)
}
