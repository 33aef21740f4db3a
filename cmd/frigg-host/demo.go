package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/demo"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/secret"
)

// The demo's user, module and integration.
const (
	demoUser        = "demo"
	demoPassword    = "demo-on-loopback"
	demoModule      = "tidepool"
	demoIntegration = "tidepool-welcome"
	demoClient      = "frigg-host-demo"
	demoWait        = 30 * time.Second
)

type demoCmd struct {
	logFlags `embed:""`

	Data    string `help:"Folder that keeps the demo between starts." default:"frigg-data/demo" type:"path"`
	Plugins string `help:"Folder with tidepool.wasm and tidepool-welcome.wasm." default:"build/plugins" type:"path"`
	Listen  string `help:"Address of the host." default:"127.0.0.1:8080"`
	Vendor  string `help:"Address of the demo vendor." default:"127.0.0.1:8791"`
	Isolate string `help:"Run plugins in the host (none) or each in a process of its own (process)." enum:"none,process" default:"none"`
	Once    bool   `help:"Stop after the tour instead of waiting for Ctrl-C."`
}

// Help has the examples of `demo --help`.
func (demoCmd) Help() string {
	return `Starts a small make-believe CRM and a host beside it, connects the two by OAuth2, and lets an event become work. Nothing leaves this machine.

Examples:
  make run
  frigg-host demo --plugins build/plugins --data /tmp/frigg-demo`
}

// tour is a demo under way.
type tour struct {
	streams
	crm     *demo.CRM
	vendor  string // base URL
	api     string // base URL
	host    *host.Host
	actor   account.Actor
	token   secret.Text
	account *connection.Entity
	record  *integration.Integration
}

func (c *demoCmd) Run(ctx context.Context, s streams) error {
	if err := c.install(); err != nil {
		return err
	}
	vendor, err := listen(ctx, c.Vendor)
	if err != nil {
		return err
	}
	defer vendor.Close()
	listener, err := listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if c.LogLevel == slog.LevelInfo {
		c.LogLevel = slog.LevelError // the tour says what happens
	}
	t := &tour{streams: s, vendor: "http://" + vendor.Addr().String(), api: "http://" + listener.Addr().String()}
	if t.crm, err = demo.New(demo.Config{BaseURL: t.vendor, DataFile: filepath.Join(c.Data, "tidepool.json"), Log: c.logger(s.err)}); err != nil {
		return err
	}
	defer t.crm.Close()
	crm := &http.Server{Handler: t.crm, ReadHeaderTimeout: 10 * time.Second}
	go crm.Serve(vendor)
	defer crm.Close()

	fmt.Fprintln(s.out, "frigg-host demo: starting (the first start compiles the plugins, which takes a few seconds)")
	t.host, err = host.New(ctx, host.Config{
		DataDir: filepath.Join(c.Data, "host"), PluginsDir: c.installed(), PublicURL: t.api, Isolate: c.Isolate,
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: c.logger(s.err),
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- t.host.Run(running, listener) }()
	err = t.guide(running, c.Once)
	stop()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	err = finish(t.host, errors.Join(err, <-served))
	if err == nil {
		fmt.Fprintln(s.out, "\nstopped; start again and everything is still there")
	}
	return err
}

func (c *demoCmd) installed() string { return filepath.Join(c.Data, "plugins") }

// install copies the two plugins of the demo into its own folder.
func (c *demoCmd) install() error {
	if err := os.MkdirAll(c.installed(), 0o700); err != nil {
		return err
	}
	for _, name := range []string{demoModule, demoIntegration} {
		wasm, err := os.ReadFile(filepath.Join(c.Plugins, name+".wasm"))
		if err != nil {
			return &exitError{exitFailed, fmt.Sprintf("%s has no %s.wasm; run `make wasm`, or give the folder with --plugins", c.Plugins, name)}
		}
		target := filepath.Join(c.installed(), name+".wasm")
		if old, err := os.ReadFile(target); err == nil && bytes.Equal(old, wasm) {
			continue
		}
		if err := replaceFile(target, wasm); err != nil {
			return err
		}
		settled := time.Now().Add(-time.Minute) // it is whole: the host need not wait for it to come to rest
		if err := os.Chtimes(target, settled, settled); err != nil {
			return err
		}
	}
	return nil
}

// guide leads through the demo, then shows work as it happens until ctx ends.
func (t *tour) guide(ctx context.Context, once bool) error {
	if err := t.connect(ctx); err != nil {
		return err
	}
	if err := t.integrate(ctx); err != nil {
		return err
	}
	before := time.Now()
	if err := t.addContact(ctx); err != nil {
		return err
	}
	worked, err := t.awaitWork(ctx, before)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  5  an event        %s:\n", t.describe(ctx, worked))
	fmt.Fprintf(t.out, "                     the vendor posted it, signed; it was stored, answered, and worked off (%s)\n", worked.ID)
	fmt.Fprintf(t.out, "                     the new contact has a welcome task now, see %s/\n", t.vendor)
	t.invite()
	if once {
		return nil
	}
	return t.watch(ctx, worked.ID)
}

// connect makes the demo user and connects its account at the vendor by OAuth2, as a browser would.
func (t *tour) connect(ctx context.Context) error {
	if err := t.login(ctx); err != nil {
		return err
	}
	for _, name := range []string{demoModule, demoIntegration} {
		if _, err := t.host.Plugins.Approve(ctx, name, "", "the demo"); err != nil {
			return err
		}
	}
	fmt.Fprintf(t.out, "\n  1  a vendor        Tidepool CRM at %s/  (its data survives a restart)\n", t.vendor)
	id := rand.Text()
	if err := t.crm.AddClient(demoClient, id, t.api+"/redirect/"+demoModule); err != nil {
		return err
	}
	for key, value := range map[string]string{"base_url": t.vendor, "client_id": demoClient, "client_secret": id} {
		if err := t.host.Plugins.SetSetting(ctx, demoModule, key, secret.NewText(value)); err != nil {
			return err
		}
	}
	known, err := t.host.Connections.Entities(ctx, t.actor)
	if err != nil {
		return err
	}
	for _, e := range known {
		if e.Module == demoModule && e.Status == connection.OK {
			t.account = e
			fmt.Fprintf(t.out, "  2  an account      %s, connected at an earlier start (%s)\n", e.Name, e.ID)
			return nil
		}
	}
	return t.authorize(ctx)
}

func (t *tour) login(ctx context.Context) error {
	user := account.NewUser{Username: demoUser, Password: secret.NewText(demoPassword)}
	_, token, err := t.host.Accounts.CreateUser(ctx, user)
	if fault.Is(err, fault.Conflict) {
		_, token, err = t.host.Accounts.Login(ctx, demoUser, user.Password)
	}
	if err != nil {
		return err
	}
	t.token = token
	t.actor, err = t.host.Accounts.Authenticate(ctx, token)
	return err
}

func (t *tour) authorize(ctx context.Context) error {
	req, err := t.host.Connections.Requirements(ctx, t.actor, demoModule)
	if err != nil {
		return err
	}
	redirect, err := t.crm.Consent(req.URL)
	if err != nil {
		return fmt.Errorf("the demo vendor did not consent: %w", err)
	}
	back, err := url.Parse(redirect)
	if err != nil {
		return err
	}
	data := map[string]any{}
	for k := range back.Query() {
		data[k] = back.Query().Get(k)
	}
	done, err := t.host.Connections.Authorize(ctx, t.actor, demoModule, data)
	if err != nil {
		return err
	}
	if t.account, err = t.host.Connections.Entity(ctx, t.actor, done.EntityID); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  2  an account      %s, connected by OAuth2 with PKCE (%s)\n", t.account.Name, t.account.ID)
	return nil
}

// integrate makes the integration, and shows rows that it reads.
func (t *tour) integrate(ctx context.Context) error {
	all, err := t.host.Integrations.Integrations(ctx, t.actor)
	if err != nil {
		return err
	}
	for _, in := range all {
		if in.Plugin == demoIntegration {
			t.record = in
		}
	}
	if t.record == nil {
		config := json.RawMessage(`{"type":"` + demoIntegration + `"}`)
		if t.record, err = t.host.Integrations.Create(ctx, t.actor, []connection.EntityID{t.account.ID}, config); err != nil {
			return err
		}
	}
	if err := t.awaitStatus(ctx, abi.StatusEnabled); err != nil {
		return err
	}
	rows, err := t.host.Integrations.SampleData(ctx, t.actor, t.record.ID)
	if err != nil {
		return err
	}
	var people []map[string]any
	if err := json.Unmarshal(rows, &people); err != nil {
		return fmt.Errorf("sample data is not a list: %w", err)
	}
	fmt.Fprintf(t.out, "  3  live rows       %d contacts read through the sandbox:\n", len(people))
	for _, p := range people[:min(3, len(people))] {
		fmt.Fprintf(t.out, "                       %-20v %v\n", p["name"], p["email"])
	}
	fmt.Fprintf(t.out, "  4  an integration  %s is %s (%s)\n", demoIntegration, t.record.Status, t.record.ID)
	return nil
}

func (t *tour) awaitStatus(ctx context.Context, want abi.Status) error {
	return t.await(ctx, func() (bool, error) {
		in, err := t.host.Integrations.Integration(ctx, t.actor, t.record.ID)
		if err != nil {
			return false, err
		}
		t.record = in
		if in.Status == abi.StatusError {
			messages, _ := t.host.Integrations.Messages(ctx, t.actor, in.ID)
			return false, fmt.Errorf("the integration went to ERROR: %+v", messages)
		}
		return in.Status == want, nil
	})
}

// await asks every 100 ms until done, an error, or too long a time.
func (t *tour) await(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, demoWait)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing happened within %s: %w", demoWait, ctx.Err())
		case <-tick.C:
		}
	}
}

// addContact fills in the vendor's form as a person would.
func (t *tour) addContact(ctx context.Context) error {
	name := "Visitor " + time.Now().Format("15:04:05")
	form := url.Values{"name": {name}, "email": {strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(name, " ", "."), ":", "")) + "@example.com"}, "company": {"Walk-in"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.vendor+"/contacts", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 500))
		return fmt.Errorf("the vendor refused the contact: %s: %s", res.Status, text)
	}
	return nil
}

// awaitWork waits for a webhook's job that was made after a time and is done.
func (t *tour) awaitWork(ctx context.Context, after time.Time) (worked *job.Job, err error) {
	err = t.await(ctx, func() (bool, error) {
		jobs, err := t.host.Jobs.Jobs(ctx, t.actor, []job.State{job.Done, job.Halted, job.Dead}, "", 5)
		for _, j := range jobs {
			if j.CreatedAt.After(after) {
				worked = j
				return true, err
			}
		}
		return false, err
	})
	if err == nil && worked.State != job.Done {
		err = fmt.Errorf("the event failed: %s", worked.LastError)
	}
	return worked, err
}

func (t *tour) invite() {
	auth := "-H 'Authorization: Bearer " + t.token.Reveal() + "'"
	fmt.Fprintf(t.out, `
Your turn:
  open %[1]s/ and add a contact, or move a deal to won: the work shows up below
  curl -s %[3]s %[2]s/api/integrations
  curl -s %[3]s %[2]s/api/demo/sample/%[4]s
  curl -s -X POST %[3]s -H 'Content-Type: application/json' -d '{}' %[2]s/api/integrations/%[4]s/actions/SYNC_NOW
Then: README.md leads to your first own plugin. Ctrl-C stops.

`, t.vendor, t.api, auth, t.record.ID)
}

// watch prints work as it ends.
func (t *tour) watch(ctx context.Context, last job.ID) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	seen := map[job.ID]bool{last: true}
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		jobs, err := t.host.Jobs.Jobs(ctx, t.actor, []job.State{job.Done, job.Halted, job.Dead}, "", 50)
		if err != nil {
			return err
		}
		for i := len(jobs) - 1; i >= 0; i-- {
			j := jobs[i]
			if seen[j.ID] || j.FinishedAt.Before(began) {
				continue
			}
			seen[j.ID] = true
			fmt.Fprintf(t.out, "%s  %-8s %s (%s)\n", clock(j.FinishedAt), j.State, t.describe(ctx, j), j.ID)
		}
	}
}

// describe says in words what a job was.
func (t *tour) describe(ctx context.Context, j *job.Job) string {
	event, vendor, err := t.host.Integrations.EventOf(ctx, t.actor, j)
	if err != nil {
		return j.Kind
	}
	took := j.FinishedAt.Sub(j.CreatedAt).Round(time.Millisecond)
	text := event
	if vendor != "" {
		text = vendor
	}
	text = fmt.Sprintf("%s, worked off %s after it came in", text, took)
	if j.LastError != "" {
		text += ": " + j.LastError
	}
	return text
}
