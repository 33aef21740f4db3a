package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/plugins/examples/caldav/caldavapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
)

// TestRadicale_WholeRoad runs the module against a server that nobody here wrote.
func TestRadicale_WholeRoad(t *testing.T) {
	m := connectRadicale(t)
	accounts, err := m.Identify(nil)
	if err != nil || len(accounts) != 1 {
		t.Fatalf("identify: %+v, %v", accounts, err)
	}
	m.Connection.Details = accounts[0].Details

	work, err := friggtest.Call(m, caldavapi.CreateCalendar, caldavapi.NewCalendar{ID: "work", Name: "Work & <more>"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := friggtest.Call(m, caldavapi.CreateCalendar, caldavapi.NewCalendar{ID: "work"}); !frigg.Is(err, frigg.KindConflict) {
		t.Errorf("second calendar of the same name: %v", err)
	}
	calendars, err := friggtest.Call(m, caldavapi.ListCalendars, frigg.None{})
	if err != nil || len(calendars.Items) != 1 || calendars.Items[0] != work {
		t.Fatalf("calendars: %+v, %v; created %+v", calendars, err, work)
	}

	todo := caldavapi.TodoChange{Calendar: work.Path, UID: "call-ada", Summary: "Call Ada, then Grace; soon", Due: "2030-01-31"}
	first, err := friggtest.Call(m, caldavapi.PutTodo, todo)
	if err != nil || first.ETag == "" {
		t.Fatalf("put: %+v, %v", first, err)
	}
	if _, err := friggtest.Call(m, caldavapi.PutTodo, todo); !frigg.Is(err, frigg.KindConflict) {
		t.Errorf("creating it again: %v", err)
	}
	todo.ETag, todo.Done = first.ETag, true
	if _, err := friggtest.Call(m, caldavapi.PutTodo, todo); err != nil {
		t.Fatalf("completing: %v", err)
	}
	if _, err := friggtest.Call(m, caldavapi.PutTodo, todo); !frigg.Is(err, frigg.KindConflict) {
		t.Errorf("changing an old version: %v", err)
	}

	list, err := friggtest.Call(m, caldavapi.ListTodos, caldavapi.ListTodosArgs{Calendar: work.Path})
	if err != nil || len(list.Items) != 1 || list.Items[0].Summary != todo.Summary || !list.Items[0].Done || list.Items[0].Due != todo.Due {
		t.Fatalf("todos: %+v, %v", list, err)
	}
	if _, err := friggtest.Call(m, caldavapi.DeleteTodo, caldavapi.TodoArgs{Path: first.Path, ETag: first.ETag}); !frigg.Is(err, frigg.KindConflict) {
		t.Errorf("deleting an old version: %v", err)
	}
	if _, err := friggtest.Call(m, caldavapi.DeleteTodo, caldavapi.TodoArgs{Path: first.Path, ETag: list.Items[0].ETag}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := friggtest.Call(m, caldavapi.DeleteCalendar, caldavapi.CalendarArgs{Calendar: work.Path}); err != nil {
		t.Errorf("delete calendar: %v", err)
	}
}

// connectRadicale starts Radicale on loopback; the vendor of the module is a proxy that adds the credential, as the host does.
func connectRadicale(t *testing.T) *friggtest.Module {
	program, err := exec.LookPath("radicale")
	if err != nil {
		t.Skip("radicale is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := fmt.Sprintf("[server]\nhosts = %s\n[auth]\ntype = htpasswd\nhtpasswd_filename = %s/users\nhtpasswd_encryption = plain\n[storage]\nfilesystem_folder = %s/data\n", address, dir, dir)
	for name, text := range map[string]string{"config": config, "users": "ada:engine\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := exec.Command(program, "-C", filepath.Join(dir, "config"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	base := &url.URL{Scheme: "http", Host: address}
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("radicale does not listen: %v", err)
		}
		time.Sleep(20 * time.Millisecond) // a foreign process has no other signal
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(base)
		r.Out.SetBasicAuth("ada", "engine")
	}}
	m := friggtest.NewModule(t, http.Handler(proxy))
	m.Connection.Values = map[string]string{"base_url": base.String(), "username": "ada"}
	m.Connection.Details = json.RawMessage(`{}`)
	return m
}
