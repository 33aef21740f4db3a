// Command stripe is the API module for Stripe.
package main

import (
	"strconv"

	"github.com/frigg-host/frigg-host/plugins/examples/stripe/stripeapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

func init() {
	module.Method(stripeapi.ListCustomers, listCustomers)
	module.Method(stripeapi.GetCustomer, getCustomer)
	module.Method(stripeapi.CreateCustomer, createCustomer)
	module.Method(stripeapi.UpdateCustomer, updateCustomer)
	module.Method(stripeapi.ListEvents, listEvents)
}

func listCustomers(c *module.Call, in stripeapi.ListCustomersArgs) (frigg.Page[stripeapi.Customer], error) {
	return list(c, "/v1/customers", in.Cursor, in.Limit, func(x stripeapi.Customer) string { return x.ID }, rest.Query("email", in.Email))
}

func listEvents(c *module.Call, in stripeapi.ListEventsArgs) (frigg.Page[stripeapi.Event], error) {
	return list(c, "/v1/events", in.Cursor, in.Limit, func(x stripeapi.Event) string { return x.ID }, rest.Query("type", in.Type))
}

// list asks for a page of a list. The cursor is the id of the last row before it.
func list[T any](c *module.Call, path, cursor string, limit int, id func(T) string, filter rest.Option) (frigg.Page[T], error) {
	if limit == 0 {
		limit = 100
	}
	rows, err := module.Get[struct {
		Data    []T  `json:"data"`
		HasMore bool `json:"has_more"`
	}](c, path, rest.Query("limit", strconv.Itoa(limit)), rest.Query("starting_after", cursor), filter)
	out := frigg.Page[T]{Items: rows.Data}
	if rows.HasMore && len(rows.Data) > 0 {
		out.Next = id(rows.Data[len(rows.Data)-1])
	}
	return out, err
}

func getCustomer(c *module.Call, in stripeapi.CustomerArgs) (stripeapi.Customer, error) {
	path, err := customerPath(in.ID)
	if err != nil {
		return stripeapi.Customer{}, err
	}
	customer, err := module.Get[struct {
		stripeapi.Customer
		Deleted bool `json:"deleted"`
	}](c, path)
	if err == nil && customer.Deleted {
		err = frigg.NotFound("the customer %s is deleted", in.ID)
	}
	return customer.Customer, err
}

// customerPath keeps a missing id from naming the list of all customers.
func customerPath(id string) (string, error) {
	if id == "" {
		return "", frigg.Invalid("the id of the customer is missing")
	}
	return module.Path("/v1/customers/%s", id), nil
}

func createCustomer(c *module.Call, in stripeapi.NewCustomer) (stripeapi.Customer, error) {
	return module.Post[stripeapi.Customer](c, "/v1/customers", rest.Form{Value: in})
}

func updateCustomer(c *module.Call, in stripeapi.CustomerChange) (stripeapi.Customer, error) {
	path, err := customerPath(in.ID)
	if err != nil {
		return stripeapi.Customer{}, err
	}
	in.ID = "" // it is in the path
	return module.Post[stripeapi.Customer](c, path, rest.Form{Value: in})
}

func main() {}
