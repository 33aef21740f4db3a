package main

import (
	"github.com/frigg-host/frigg-host/plugins/examples/stripe/stripeapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

// openForCustomer leaves the work to an event, so that it cannot meet a webhook about the same customer.
func openForCustomer(c *integration.Call, in onlyThis) (said, error) {
	ref, found, err := links(c).Right(in.Customer)
	if err != nil || found {
		return said{"There is an issue already: " + ref}, err
	}
	return said{"The issue is being opened."}, enqueueIssue(c, in.Customer)
}

func chooseCustomer(c *integration.Call, _ onlyThis) (frigg.Form, error) {
	newest, err := newestCustomers(c, 50)
	if err != nil {
		return frigg.Form{}, err
	}
	options := []frigg.Option{}
	for _, customer := range newest {
		options = append(options, frigg.Option{Value: customer.ID, Title: caption(customer)})
	}
	return frigg.Form{Fields: []frigg.Field{{Name: "customer", Title: "Customer", Required: true, Options: options}}}, nil
}

// row is a customer as people see it.
type row struct {
	Customer   string `json:"customer"`
	Name       string `json:"name"`
	Email      string `json:"email"`
	Onboarding string `json:"onboarding"`
	Issue      string `json:"issue"`
}

func sampleData(c *integration.Call, _ frigg.None) ([]row, error) {
	newest, err := newestCustomers(c, 20)
	rows := []row{}
	for _, customer := range newest {
		ref, _, err := links(c).Right(customer.ID)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{customer.ID, customer.Name, customer.Email, customer.Metadata[keyState], ref})
	}
	return rows, err
}

func newestCustomers(c *integration.Call, limit int) ([]stripeapi.Customer, error) {
	page, err := integration.CallModule(c, stripe, stripeapi.ListCustomers, stripeapi.ListCustomersArgs{Limit: limit})
	return page.Items, err
}
