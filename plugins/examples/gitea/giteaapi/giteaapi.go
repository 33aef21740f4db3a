// Package giteaapi is what the gitea module offers to integrations: its methods, their types, and the webhooks that Gitea
// sends. Field names are Gitea's own.
package giteaapi

import (
	"time"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

// The methods. A repository is named "owner/name" everywhere.
const (
	ListRepos     frigg.Method[ListReposArgs, frigg.Page[Repository]] = "list_repos"
	GetRepo       frigg.Method[RepoArgs, Repository]                  = "get_repo"
	ListIssues    frigg.Method[ListIssuesArgs, frigg.Page[Issue]]     = "list_issues"
	GetIssue      frigg.Method[IssueArgs, Issue]                      = "get_issue"
	CreateIssue   frigg.Method[NewIssue, Issue]                       = "create_issue"
	UpdateIssue   frigg.Method[IssueChange, Issue]                    = "update_issue"
	CommentIssue  frigg.Method[NewComment, Comment]                   = "comment_issue"
	ListWebhooks  frigg.Method[ListWebhooksArgs, frigg.Page[Webhook]] = "list_webhooks"
	CreateWebhook frigg.Method[NewWebhook, Webhook]                   = "create_webhook"
	DeleteWebhook frigg.Method[WebhookArgs, frigg.None]               = "delete_webhook"
)

// States of an issue, and the filter for both.
const (
	Open   = "open"
	Closed = "closed"
	All    = "all"
)

// Repository is a repository and what the account may do there.
type Repository struct {
	ID          int64       `json:"id"`
	FullName    string      `json:"full_name"`
	Description string      `json:"description"`
	HTMLURL     string      `json:"html_url"`
	Private     bool        `json:"private"`
	Archived    bool        `json:"archived"`
	Permissions Permissions `json:"permissions"`
}

// Permissions are the account's rights; webhooks need Admin.
type Permissions struct {
	Admin bool `json:"admin"`
	Push  bool `json:"push"`
	Pull  bool `json:"pull"`
}

// Issue is an issue of a repository.
type Issue struct {
	Number    int64      `json:"number"`
	Title     string     `json:"title"`
	Body      string     `json:"body"`
	State     string     `json:"state"`
	HTMLURL   string     `json:"html_url"`
	Labels    []Label    `json:"labels"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	ClosedAt  *time.Time `json:"closed_at"`
}

// Label is a label of a repository.
type Label struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// Comment is a comment on an issue.
type Comment struct {
	ID      int64  `json:"id"`
	Body    string `json:"body"`
	HTMLURL string `json:"html_url"`
}

// Webhook is a subscription.
type Webhook struct {
	ID     int64         `json:"id"`
	Active bool          `json:"active"`
	Events []string      `json:"events"`
	Config WebhookConfig `json:"config"`
}

// WebhookConfig says where a webhook goes; the secret is never told.
type WebhookConfig struct {
	URL         string `json:"url"`
	ContentType string `json:"content_type"`
}

// Arguments of methods.
type (
	// ListReposArgs asks for a page of repositories; an empty cursor is the first page.
	ListReposArgs struct {
		Cursor string `json:"cursor,omitempty"`
	}

	// RepoArgs names a repository.
	RepoArgs struct {
		Repository string `json:"repository"`
	}

	// ListIssuesArgs asks for a page of issues. State is Open when empty; Since is the earliest change.
	ListIssuesArgs struct {
		Repository string     `json:"repository"`
		State      string     `json:"state,omitempty"`
		Labels     []string   `json:"labels,omitempty"`
		Since      *time.Time `json:"since,omitempty"`
		Cursor     string     `json:"cursor,omitempty"`
	}

	// IssueArgs names an issue.
	IssueArgs struct {
		Repository string `json:"repository"`
		Number     int64  `json:"number"`
	}

	// NewIssue is an issue to open. Labels are names.
	NewIssue struct {
		Repository string   `json:"repository"`
		Title      string   `json:"title"`
		Body       string   `json:"body,omitempty"`
		Labels     []string `json:"labels,omitempty"`
	}

	// IssueChange changes the fields that are not nil.
	IssueChange struct {
		Repository string  `json:"repository"`
		Number     int64   `json:"number"`
		Title      *string `json:"title,omitempty"`
		Body       *string `json:"body,omitempty"`
		State      *string `json:"state,omitempty"`
	}

	// NewComment is a comment to write.
	NewComment struct {
		Repository string `json:"repository"`
		Number     int64  `json:"number"`
		Body       string `json:"body"`
	}

	// ListWebhooksArgs asks for a page of webhooks.
	ListWebhooksArgs struct {
		Repository string `json:"repository"`
		Cursor     string `json:"cursor,omitempty"`
	}

	// NewWebhook is a subscription to make. Secret is what Gitea signs with.
	NewWebhook struct {
		Repository string       `json:"repository"`
		URL        string       `json:"url"`
		Secret     frigg.Handle `json:"secret"`
		Events     []string     `json:"events"`
	}

	// WebhookArgs names a subscription.
	WebhookArgs struct {
		Repository string `json:"repository"`
		ID         int64  `json:"id"`
	}
)

// IssueEvent is the body of the webhook event "issues".
type IssueEvent struct {
	Action     string     `json:"action"` // opened, edited, closed, reopened...
	Number     int64      `json:"number"`
	Issue      Issue      `json:"issue"`
	Repository Repository `json:"repository"`
}

// Account details that the module keeps.
type Account struct {
	Login   string `json:"login"`
	BaseURL string `json:"base_url"`
}
