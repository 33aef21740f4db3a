// Package caldavapi is what the caldav module offers to integrations.
package caldavapi

import "github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"

// The methods.
const (
	ListCalendars  frigg.Method[frigg.None, frigg.Page[Calendar]] = "list_calendars"
	CreateCalendar frigg.Method[NewCalendar, Calendar]            = "create_calendar"
	DeleteCalendar frigg.Method[CalendarArgs, frigg.None]         = "delete_calendar"
	ListTodos      frigg.Method[ListTodosArgs, frigg.Page[Todo]]  = "list_todos"
	PutTodo        frigg.Method[TodoChange, Todo]                 = "put_todo"
	DeleteTodo     frigg.Method[TodoArgs, frigg.None]             = "delete_todo"
)

// Calendar is a collection on the server.
type Calendar struct {
	Path  string `json:"path"` // names it in other calls
	Name  string `json:"name"`
	Todos bool   `json:"todos"` // it takes to-dos
}

// Todo is a to-do. Its ETag changes whenever it does.
type Todo struct {
	Path        string `json:"path"`
	ETag        string `json:"etag"`
	UID         string `json:"uid"`
	Summary     string `json:"summary"`
	Description string `json:"description"`
	Due         string `json:"due"` // YYYY-MM-DD or empty
	Done        bool   `json:"done"`
}

// Arguments of methods.
type (
	// NewCalendar is a calendar to create. ID becomes a part of its path.
	NewCalendar struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}

	// CalendarArgs names a calendar.
	CalendarArgs struct {
		Calendar string `json:"calendar"`
	}

	// ListTodosArgs asks for the to-dos of a calendar.
	ListTodosArgs struct {
		Calendar string `json:"calendar"`
		OpenOnly bool   `json:"open_only,omitempty"`
	}

	// TodoChange is a whole to-do. UID names it in its calendar and is the caller's choice, so that a repeated call does not make
	// a second one. Without an ETag it must not exist yet, with one it must not have changed since.
	TodoChange struct {
		Calendar    string `json:"calendar"`
		UID         string `json:"uid"`
		ETag        string `json:"etag,omitempty"`
		Summary     string `json:"summary"`
		Description string `json:"description,omitempty"`
		Due         string `json:"due,omitempty"` // YYYY-MM-DD
		Done        bool   `json:"done,omitempty"`
	}

	// TodoArgs names a to-do; with an ETag it must not have changed since.
	TodoArgs struct {
		Path string `json:"path"`
		ETag string `json:"etag,omitempty"`
	}
)

// Account details that the module keeps.
type Account struct {
	Principal string `json:"principal"`
	Home      string `json:"home"` // where calendars are
}
