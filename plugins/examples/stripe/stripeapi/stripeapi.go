// Package stripeapi is what the stripe module offers to integrations: its methods, their types, and the webhooks that Stripe
// sends. Field names are Stripe's own.
package stripeapi

import (
	"encoding/json"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

// The methods.
const (
	ListCustomers  frigg.Method[ListCustomersArgs, frigg.Page[Customer]] = "list_customers"
	GetCustomer    frigg.Method[CustomerArgs, Customer]                  = "get_customer"
	CreateCustomer frigg.Method[NewCustomer, Customer]                   = "create_customer"
	UpdateCustomer frigg.Method[CustomerChange, Customer]                = "update_customer"
	ListEvents     frigg.Method[ListEventsArgs, frigg.Page[Event]]       = "list_events"
)

// CustomerCreated is the webhook event that tells of a new customer.
const CustomerCreated = "customer.created"

// Customer is a customer.
type Customer struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Email       string            `json:"email"`
	Description string            `json:"description"`
	Created     int64             `json:"created"` // Unix seconds
	Metadata    map[string]string `json:"metadata"`
	LiveMode    bool              `json:"livemode"`
}

// Event is something that happened. Object is what it happened to, as it was then.
type Event struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Created int64  `json:"created"` // Unix seconds
	Data    struct {
		Object json.RawMessage `json:"object"`
	} `json:"data"`
}

// CustomerEvent is the body of the webhook events "customer.*".
type CustomerEvent struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		Object Customer `json:"object"`
	} `json:"data"`
}

// Arguments of methods.
type (
	// ListCustomersArgs asks for a page of customers, at most 100; an empty cursor is the first page.
	ListCustomersArgs struct {
		Email  string `json:"email,omitempty"`
		Limit  int    `json:"limit,omitempty"`
		Cursor string `json:"cursor,omitempty"`
	}

	// CustomerArgs names a customer.
	CustomerArgs struct {
		ID string `json:"id"`
	}

	// NewCustomer is a customer to create.
	NewCustomer struct {
		Name        string            `json:"name,omitempty"`
		Email       string            `json:"email,omitempty"`
		Description string            `json:"description,omitempty"`
		Metadata    map[string]string `json:"metadata,omitempty"`
	}

	// CustomerChange changes the fields that are not nil. Metadata is merged; an empty value removes its key.
	CustomerChange struct {
		ID          string            `json:"id,omitempty"`
		Name        *string           `json:"name,omitempty"`
		Email       *string           `json:"email,omitempty"`
		Description *string           `json:"description,omitempty"`
		Metadata    map[string]string `json:"metadata,omitempty"`
	}

	// ListEventsArgs asks for a page of events of a type, such as "customer.created" or "customer.*".
	ListEventsArgs struct {
		Type   string `json:"type,omitempty"`
		Limit  int    `json:"limit,omitempty"`
		Cursor string `json:"cursor,omitempty"`
	}
)
