package outbound_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world are the endpoints of a test: a network in memory, so that days pass in no time.
type world struct {
	mu     sync.Mutex
	answer func(got) (*http.Response, error) // nil: 204
	got    []got
}

// got is a message as it arrived.
type got struct {
	at     time.Time
	url    string
	header http.Header
	body   []byte
	ctx    context.Context
}

func (g got) id() string { return g.header.Get("Webhook-Id") }

func (g got) name(t *testing.T) event.Name {
	t.Helper()
	var m struct {
		Type event.Name `json:"type"`
	}
	if err := json.Unmarshal(g.body, &m); err != nil {
		t.Fatalf("%v: %s", err, g.body)
	}
	return m.Type
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	g := got{time.Now(), r.URL.String(), r.Header.Clone(), body, r.Context()}
	w.mu.Lock()
	w.got = append(w.got, g)
	answer := w.answer
	w.mu.Unlock()
	if answer == nil {
		return says(204), nil
	}
	return answer(g)
}

func (w *world) arrived() []got {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]got(nil), w.got...)
}

func (w *world) answers(f func(got) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

func says(status int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: http.NoBody}
}

func always(status int, header ...string) func(got) (*http.Response, error) {
	return func(got) (*http.Response, error) { return says(status, header...), nil }
}

// rig is a host that only tells: a real store, queue, vault and requester.
type rig struct {
	t        *testing.T
	path     string
	key      *secret.RootKey
	world    *world
	db       *store.DB
	s        *outbound.Service
	stop     func()
	handlers map[string]job.Handler
	slots    int
	poll     time.Duration // of workers and of the service
	wrap     func(outbound.Store) outbound.Store
}

const ada, bob account.Owner = "usr_ada", "usr_bob"

func newRig(t *testing.T, poll ...time.Duration) *rig {
	t.Helper()
	key, _ := secret.GenerateRootKey()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "frigg.db"), key: key, world: &world{}, handlers: map[string]job.Handler{}, slots: 4, poll: time.Second}
	if len(poll) > 0 {
		r.poll = poll[0]
	}
	r.open()
	t.Cleanup(func() { r.close() })
	return r
}

// open opens the database, without working on it.
func (r *rig) open() {
	r.t.Helper()
	db, err := store.Open(r.t.Context(), store.Config{DSN: r.path})
	if err != nil {
		r.t.Fatal(err)
	}
	sender := requester.New(requester.Config{Wrap: func(http.RoundTripper) http.RoundTripper { return r.world }})
	r.db = db
	var kept outbound.Store = db
	if r.wrap != nil {
		kept = r.wrap(db)
	}
	r.s = &outbound.Service{Store: kept, Vault: secret.NewVault(r.key, db, time.Now), Sender: sender, Now: time.Now, Log: slog.New(slog.DiscardHandler), Slots: 2, Poll: r.poll}
	r.stop = func() { sender.Close() }
}

// run works until close.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.handlers[outbound.JobDeliver] = r.s
	w := &job.Workers{Store: r.db, Handlers: r.handlers, Now: time.Now, Log: slog.New(slog.DiscardHandler), Slots: r.slots, Poll: r.poll, Lease: max(30*time.Second, 3*r.poll), Alone: true}
	r.s.Wake = w.Wake
	var running sync.WaitGroup
	running.Go(func() { r.s.Run(ctx) })
	running.Go(func() {
		if err := w.Run(ctx, time.Second); err != nil {
			r.t.Error(err)
		}
	})
	before := r.stop
	r.stop = func() { cancel(); running.Wait(); before() }
}

func (r *rig) close() {
	r.stop()
	r.stop = func() {}
	if err := r.db.Close(); err != nil {
		r.t.Error(err)
	}
}

// again is the process that comes after.
func (r *rig) again() {
	r.t.Helper()
	r.close()
	r.open()
}

func (r *rig) endpoint(o account.Owner, url string, events ...event.Pattern) (*outbound.Endpoint, secret.Text) {
	r.t.Helper()
	e, key, err := r.s.CreateEndpoint(r.t.Context(), o, outbound.Settings{URL: &url, Events: events})
	if err != nil {
		r.t.Fatal(err)
	}
	return e, key
}

// happens commits an act that writes a fact down: an account of o is connected.
func (r *rig) happens(o account.Owner) {
	r.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	if _, err := r.db.UserByID(r.t.Context(), account.ID(o)); err != nil {
		u := &account.User{ID: account.ID(o), Kind: account.Individual, AppUserID: "app-" + string(o), CreatedAt: now}
		if err := r.db.CreateUser(r.t.Context(), nil, u); err != nil {
			r.t.Fatal(err)
		}
	}
	c := &connection.Credential{ID: connection.NewCredentialID(), Owner: o, Module: "crm", Status: connection.OK, Sealed: "v1.x", Version: 1, CreatedAt: now, UpdatedAt: now}
	e := &connection.Entity{ID: connection.NewEntityID(), Owner: o, Module: "crm", Credential: c.ID, ExternalID: string(c.ID), Name: "x", CreatedAt: now, UpdatedAt: now}
	if _, err := r.db.CompleteAuthorization(r.t.Context(), c, []*connection.Entity{e}, now.Add(-time.Hour)); err != nil {
		r.t.Fatal(err)
	}
}

// pass lets time go by and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d) // of the fake clock
	synctest.Wait()
}

func (r *rig) read(o account.Owner, id outbound.EndpointID) *outbound.Endpoint {
	r.t.Helper()
	e, err := r.s.Endpoint(r.t.Context(), o, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) deliveries(o account.Owner, id outbound.EndpointID, states ...outbound.Progress) []*outbound.Delivery {
	r.t.Helper()
	list, err := r.s.Deliveries(r.t.Context(), o, id, states, "", 200)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// verify is Standard Webhooks as a receiver does it, written from the specification's section "Verifying webhook
// authenticity": https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func verify(key string, h http.Header, body []byte, now time.Time) error {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
	if err != nil {
		return err
	}
	sent, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return err
	}
	if age := now.Sub(time.Unix(sent, 0)); age > 5*time.Minute || age < -5*time.Minute {
		return fmt.Errorf("the message is %s old", age)
	}
	mac := hmac.New(sha256.New, raw)
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("webhook-id"), sent, body)
	want := mac.Sum(nil)
	for part := range strings.FieldsSeq(h.Get("webhook-signature")) {
		version, signature, _ := strings.Cut(part, ",")
		have, err := base64.StdEncoding.DecodeString(signature)
		if version == "v1" && err == nil && hmac.Equal(have, want) {
			return nil
		}
	}
	return fmt.Errorf("no signature fits: %s", h.Get("webhook-signature"))
}

// The example of the specification's libraries.
const (
	vectorKey       = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func TestVerifier_TakesThePublishedVectorAndNothingElse(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Set("webhook-id", vectorID)
	h.Set("webhook-timestamp", strconv.Itoa(vectorTime))
	h.Set("webhook-signature", vectorSignature)
	now := time.Unix(vectorTime, 0)
	if err := verify(vectorKey, h, []byte(vectorBody), now); err != nil {
		t.Error(err)
	}
	if verify(vectorKey, h, bytes.ToUpper([]byte(vectorBody)), now) == nil || verify(vectorKey, h, []byte(vectorBody), now.Add(time.Hour)) == nil {
		t.Error("it takes anything")
	}
}
