// Command caldav is the API module for CalDAV servers (RFC 4791): calendars and their to-dos.
package main

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/frigg-host/frigg-host/plugins/examples/caldav/caldavapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

func init() {
	module.Identify(identify)
	module.TestAuth(testAuth)
	module.Method(caldavapi.ListCalendars, listCalendars)
	module.Method(caldavapi.CreateCalendar, createCalendar)
	module.Method(caldavapi.DeleteCalendar, deleteCalendar)
	module.Method(caldavapi.ListTodos, listTodos)
	module.Method(caldavapi.PutTodo, putTodo)
	module.Method(caldavapi.DeleteTodo, deleteTodo)
}

// identify finds the account's principal and where its calendars are (RFC 5397, RFC 4791 section 6.2.1).
func identify(c *module.Call, _ map[string]string) ([]module.Account, error) {
	principal, err := principalOf(c)
	if err != nil {
		return nil, err
	}
	found, err := propfind(c, principal, "0", "<D:displayname/><C:calendar-home-set/>")
	if err != nil {
		return nil, err
	}
	home, name := "", ""
	for _, r := range found {
		home, name = r.prop().Home.Href, r.prop().Name
	}
	if home == "" {
		return nil, frigg.Invalid("the server has no calendars for this user; is it a CalDAV server?")
	}
	if name == "" {
		name = c.Value("username")
	}
	server, err := url.Parse(c.Value("base_url"))
	if err != nil {
		return nil, frigg.Invalid("the address of the server is not one: %w", err)
	}
	details, err := json.Marshal(caldavapi.Account{Principal: principal, Home: home})
	return []module.Account{{ExternalID: absolute(c, principal), Name: name + " at " + server.Host, Details: details}}, err
}

func testAuth(c *module.Call) error {
	_, err := principalOf(c)
	return err
}

func principalOf(c *module.Call) (string, error) {
	found, err := propfind(c, c.Value("base_url"), "0", "<D:current-user-principal/>")
	if err != nil {
		return "", err
	}
	for _, r := range found {
		if p := r.prop().Principal.Href; p != "" {
			return p, nil
		}
	}
	return "", frigg.Errorf(frigg.KindUnauthorized, "the server does not say who is logged in; check user name and password")
}

func listCalendars(c *module.Call, _ frigg.None) (frigg.Page[caldavapi.Calendar], error) {
	page := frigg.Page[caldavapi.Calendar]{Items: []caldavapi.Calendar{}}
	account, err := module.Details[caldavapi.Account](c)
	if err != nil {
		return page, err
	}
	found, err := propfind(c, account.Home, "1", "<D:displayname/><D:resourcetype/><C:supported-calendar-component-set/>")
	for _, r := range found {
		if p := r.prop(); p.Type.Calendar != nil {
			page.Items = append(page.Items, caldavapi.Calendar{Path: r.Href, Name: p.Name, Todos: p.takes("VTODO")})
		}
	}
	return page, err
}

func createCalendar(c *module.Call, in caldavapi.NewCalendar) (caldavapi.Calendar, error) {
	account, err := module.Details[caldavapi.Account](c)
	if err != nil {
		return caldavapi.Calendar{}, err
	}
	if in.ID == "" {
		return caldavapi.Calendar{}, frigg.Invalid("the calendar needs an id")
	}
	calendar := caldavapi.Calendar{Path: strings.TrimSuffix(account.Home, "/") + module.Path("/%s/", in.ID), Name: in.Name, Todos: true}
	res, err := c.HTTP().Send(rest.Request{Method: "MKCALENDAR", URL: absolute(c, calendar.Path), Body: newCalendar(in.Name), AnyStatus: true})
	switch {
	case err != nil:
		return calendar, err
	case res.Status == 405 || res.Status == 409: // RFC 4791 section 5.3.1.2, and what servers do
		return calendar, frigg.Conflict("there is something at %s already", calendar.Path)
	case res.Status >= 300:
		return calendar, frigg.Unavailable("the server answered %d to MKCALENDAR", res.Status)
	}
	return calendar, nil
}

func deleteCalendar(c *module.Call, in caldavapi.CalendarArgs) (frigg.None, error) {
	if err := isPath(in.Calendar); err != nil {
		return frigg.None{}, err
	}
	return frigg.None{}, module.Delete(c, absolute(c, in.Calendar))
}

func listTodos(c *module.Call, in caldavapi.ListTodosArgs) (frigg.Page[caldavapi.Todo], error) {
	page := frigg.Page[caldavapi.Todo]{Items: []caldavapi.Todo{}}
	if err := isPath(in.Calendar); err != nil {
		return page, err
	}
	found, err := report(c, in.Calendar)
	for _, r := range found {
		todo, ok := parseTodo(r.prop().Data)
		if !ok || in.OpenOnly && todo.Done {
			continue
		}
		todo.Path, todo.ETag = r.Href, r.prop().ETag
		page.Items = append(page.Items, todo)
	}
	return page, err
}

func putTodo(c *module.Call, in caldavapi.TodoChange) (caldavapi.Todo, error) {
	if err := checkTodo(in); err != nil {
		return caldavapi.Todo{}, err
	}
	path := strings.TrimSuffix(in.Calendar, "/") + module.Path("/%s.ics", in.UID)
	unlessExists := ""
	if in.ETag == "" {
		unlessExists = "*"
	}
	r := rest.Request{Method: "PUT", URL: absolute(c, path), Body: rest.Text{ContentType: "text/calendar; charset=utf-8", Text: writeTodo(in)}}
	rest.Header("If-None-Match", unlessExists)(&r)
	rest.Header("If-Match", in.ETag)(&r)
	res, err := c.HTTP().Send(r)
	if err != nil {
		return caldavapi.Todo{}, err
	}
	todo := caldavapi.Todo{Path: path, ETag: res.Get("ETag"), UID: in.UID, Summary: in.Summary, Description: in.Description, Due: in.Due, Done: in.Done}
	if todo.ETag == "" { // a server that changed what it stored does not say
		found, err := propfind(c, path, "0", "<D:getetag/>")
		if err != nil {
			return todo, err
		}
		for _, r := range found {
			todo.ETag = r.prop().ETag
		}
	}
	return todo, nil
}

func deleteTodo(c *module.Call, in caldavapi.TodoArgs) (frigg.None, error) {
	if err := isPath(in.Path); err != nil {
		return frigg.None{}, err
	}
	return frigg.None{}, module.Delete(c, absolute(c, in.Path), rest.Header("If-Match", in.ETag))
}

// isPath refuses what does not name something below the server, and the server as a whole.
func isPath(path string) error {
	if !strings.HasPrefix(path, "/") || strings.Trim(path, "/") == "" {
		return frigg.Invalid("a calendar or to-do is named by its path, such as /ada/tasks/")
	}
	return nil
}

// absolute turns a path of the server into an address: the base URL may have a path of its own, which these do not build on.
func absolute(c *module.Call, path string) string {
	base, err := url.Parse(c.Value("base_url"))
	if err != nil {
		return path
	}
	ref, err := url.Parse(path)
	if err != nil {
		return path
	}
	return base.ResolveReference(ref).String()
}

func main() {}
