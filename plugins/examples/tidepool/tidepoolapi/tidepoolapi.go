// Package tidepoolapi is what the tidepool module offers to integrations: its methods, their types, and the webhooks that
// Tidepool CRM sends. Field names are Tidepool's own.
package tidepoolapi

import (
	"time"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

// The methods.
const (
	ListContacts  frigg.Method[ListArgs, frigg.Page[Contact]] = "list_contacts"
	GetContact    frigg.Method[ContactArgs, Contact]          = "get_contact"
	CreateContact frigg.Method[NewContact, Contact]           = "create_contact"
	UpdateContact frigg.Method[ContactChange, Contact]        = "update_contact"
	CreateNote    frigg.Method[NewNote, Note]                 = "create_note"
	CreateTask    frigg.Method[NewTask, Task]                 = "create_task"
	ListTasks     frigg.Method[ListArgs, frigg.Page[Task]]    = "list_tasks"
	CreateWebhook frigg.Method[NewWebhook, Webhook]           = "create_webhook"
	DeleteWebhook frigg.Method[WebhookArgs, frigg.None]       = "delete_webhook"
)

// Webhook events.
const (
	ContactCreated = "contact.created"
	DealWon        = "deal.won"
)

// Contact is a person.
type Contact struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email"`
	Company   string    `json:"company"`
	Phone     string    `json:"phone"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Deal is a sale.
type Deal struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	ContactID   string `json:"contact_id"`
	AmountCents int64  `json:"amount_cents"`
	Currency    string `json:"currency"`
	Stage       string `json:"stage"`
}

// Task is something to do.
type Task struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	ContactID string `json:"contact_id"`
	DealID    string `json:"deal_id"`
	DueOn     string `json:"due_on"` // YYYY-MM-DD or empty
	Done      bool   `json:"done"`
}

// Note is a text about a contact.
type Note struct {
	ID   string `json:"id"`
	Body string `json:"body"`
}

// Webhook is a subscription.
type Webhook struct {
	ID     string   `json:"id"`
	URL    string   `json:"url"`
	Events []string `json:"events"`
	Active bool     `json:"active"`
}

// Event is the body of a webhook.
type Event[T any] struct {
	ID    string `json:"id"`
	Type  string `json:"type"`
	Actor string `json:"actor"` // the client that did it
	Data  T      `json:"data"`
}

// Arguments of methods. A Key makes a repeated call harmless for 24 hours: the first answer comes again.
type (
	// ListArgs asks for a page, at most 100 rows; an empty cursor is the first page. UpdatedSince, a time as RFC 3339 writes it,
	// leaves out what has not changed since.
	ListArgs struct {
		Limit        int    `json:"limit,omitempty"`
		Cursor       string `json:"cursor,omitempty"`
		UpdatedSince string `json:"updated_since,omitempty"`
	}

	// ContactFields are what people fill in.
	ContactFields struct {
		Name    string `json:"name"`
		Email   string `json:"email"`
		Company string `json:"company"`
		Phone   string `json:"phone"`
	}

	// NewContact is a contact to create.
	NewContact struct {
		ContactFields
		Key string `json:"key,omitempty"`
	}

	// ContactChange replaces the fields of a contact.
	ContactChange struct {
		ID string `json:"id"`
		ContactFields
	}

	// ContactArgs names a contact.
	ContactArgs struct {
		ID string `json:"id"`
	}

	// NewNote is a note to write.
	NewNote struct {
		ContactID string `json:"contact_id"`
		Body      string `json:"body"`
		Key       string `json:"key,omitempty"`
	}

	// NewTask is a task to create.
	NewTask struct {
		Title     string `json:"title"`
		ContactID string `json:"contact_id,omitempty"`
		DealID    string `json:"deal_id,omitempty"`
		DueOn     string `json:"due_on,omitempty"`
		Key       string `json:"key,omitempty"`
	}

	// NewWebhook is a subscription to make. Secret is what Tidepool signs with.
	NewWebhook struct {
		URL    string       `json:"url"`
		Events []string     `json:"events"`
		Secret frigg.Handle `json:"secret"`
	}

	// WebhookArgs names a subscription.
	WebhookArgs struct {
		ID string `json:"id"`
	}
)
