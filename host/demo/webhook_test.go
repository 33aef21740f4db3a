package demo_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/demo"
	"github.com/google/go-cmp/cmp"
)

const vectorSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// signature is a second implementation of Standard Webhooks, written from its text and proven by its published vector.
func signature(t testing.TB, secret, id, timestamp, body string) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, id+"."+timestamp+"."+body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func TestSignature_PublishedVector(t *testing.T) {
	t.Parallel()
	got := signature(t, vectorSecret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`)
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// receiver takes webhooks, answers with the next of its statuses (200 when it has none) and hands on what came.
type receiver struct {
	url      string
	got      chan hook
	mu       sync.Mutex
	statuses []int
}

type hook struct {
	header http.Header
	body   string
}

func (h hook) event(t testing.TB) (kind string, data map[string]any) {
	t.Helper()
	var e struct {
		Type  string
		Actor string
		Data  map[string]any
	}
	if err := json.Unmarshal([]byte(h.body), &e); err != nil || e.Actor == "" {
		t.Fatalf("event %s: %v", h.body, err)
	}
	return e.Type, e.Data
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	status := 200
	if len(r.statuses) > 0 {
		status, r.statuses = r.statuses[0], r.statuses[1:]
	}
	r.mu.Unlock()
	if status == 302 {
		w.Header().Set("Location", r.url)
	}
	w.WriteHeader(status)
	r.got <- hook{req.Header, string(body)}
}

func receive(t *testing.T, statuses ...int) *receiver {
	t.Helper()
	r := &receiver{got: make(chan hook, 1000), statuses: statuses}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) next(t *testing.T) hook {
	t.Helper()
	select {
	case h := <-r.got:
		return h
	case <-time.After(20 * time.Second):
		t.Fatal("no webhook came")
		return hook{}
	}
}

func impatient() demo.Config {
	cfg := unlimited()
	cfg.RetryDelays = []time.Duration{time.Millisecond, time.Millisecond}
	return cfg
}

func (c caller) subscribe(url, secret string, events ...string) answer {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"url": url, "events": events, "secret": secret})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.call("POST", "/webhooks", string(body)).want(201)
}

// until asks again and again, since a delivery is recorded some time after its receiver saw it.
func (c caller) until(done func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			c.t.Fatal("waited too long")
		}
	}
}

// settled waits until no delivery of a subscription is pending and returns all of them.
func (c caller) settled(id string) (rows []map[string]any) {
	c.t.Helper()
	c.until(func() bool {
		rows, _ = c.list("/webhooks/" + id + "/deliveries?limit=100")
		return !slices.ContainsFunc(rows, func(row map[string]any) bool { return row["state"] == "pending" })
	})
	return rows
}

func TestWebhook_EachEventOnceSignedAndInOrder(t *testing.T) {
	t.Parallel()
	clock := newClock()
	cfg := impatient()
	cfg.Now = clock.now
	c := start(t, cfg).connect(everything)
	r := receive(t, 500) // the first attempt fails: what follows must wait
	c.subscribe(r.url, vectorSecret, "contact.created", "contact.updated", "contact.deleted", "deal.created", "deal.updated", "deal.won")

	id := c.call("POST", "/contacts", `{"name":"A<b>"}`).want(201).str("id")
	c.call("PATCH", "/contacts/"+id, `{"name":"B"}`).want(200)
	c.call("PATCH", "/contacts/"+id, `{"name":"B"}`).want(200)
	deal := c.call("POST", "/deals", `{"title":"D","contact_id":"`+id+`"}`).want(201).str("id")
	c.call("PATCH", "/deals/"+deal, `{"stage":"won"}`).want(200)
	c.call("PATCH", "/deals/"+deal, `{"title":"E"}`).want(200)
	c.call("DELETE", "/contacts/"+id, "").want(204)

	first := r.next(t)
	want := []string{"contact.created", "contact.updated", "deal.created", "deal.updated", "deal.won", "deal.updated", "contact.deleted", "deal.updated"}
	var got []string
	ids := map[string]bool{}
	for range want {
		h := r.next(t)
		kind, _ := h.event(t)
		got = append(got, kind)
		msg, at := h.header.Get("webhook-id"), h.header.Get("webhook-timestamp")
		ids[msg] = true
		if at != fmt.Sprint(clock.now().Unix()) || h.header.Get("webhook-signature") != signature(t, vectorSecret, msg, at, h.body) {
			t.Errorf("%s: signature %q does not fit", kind, h.header.Get("webhook-signature"))
		}
		if len(got) == 1 && (msg != first.header.Get("webhook-id") || h.body != first.body) {
			t.Error("the second attempt differs from the first")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids for %d events", len(ids), len(want))
	}
}

func TestWebhook_OnlyWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	c := start(t, impatient()).connect(everything)
	r := receive(t)
	c.subscribe(r.url, "", "deal.won")
	c.call("POST", "/contacts", `{"name":"A"}`).want(201)
	c.call("POST", "/deals", `{"title":"At once","stage":"won"}`).want(201)
	if kind, data := r.next(t).event(t); kind != "deal.won" || data["title"] != "At once" {
		t.Errorf("%s %v", kind, data)
	}
	if len(r.got) != 0 {
		t.Error("more came")
	}
}

func TestWebhook_GivesUpAndGoesOnAndSendsAgain(t *testing.T) {
	t.Parallel()
	c := start(t, impatient()).connect(everything)
	r := receive(t, 500, 302, 404)
	sub := c.subscribe(r.url, "", "contact.created").str("id")
	c.call("POST", "/contacts", `{"name":"Unlucky"}`).want(201)
	c.call("POST", "/contacts", `{"name":"Lucky"}`).want(201)
	rows := c.settled(sub)
	if len(rows) != 2 || rows[0]["state"] != "failed" || rows[0]["attempts"] != 3.0 || rows[0]["last_status"] != 404.0 || rows[1]["state"] != "delivered" {
		t.Fatalf("deliveries: %v", rows)
	}
	for range 4 {
		r.next(t)
	}
	path := "/webhooks/" + sub + "/deliveries/" + rows[0]["id"].(string) + "/redeliver"
	c.call("POST", path, "").want(202)
	again := r.next(t)
	if _, data := again.event(t); data["name"] != "Unlucky" || again.header.Get("webhook-id") != rows[0]["id"] {
		t.Errorf("redelivered %s %s", again.header.Get("webhook-id"), again.body)
	}
	for _, row := range c.settled(sub) {
		if row["state"] != "delivered" {
			t.Errorf("after the redelivery: %v", row)
		}
	}
	c.call("POST", "/webhooks/"+sub+"/deliveries/msg_none/redeliver", "").want(404)
}

func TestWebhook_GoneSwitchesOffAndKeepsWhatWaits(t *testing.T) {
	t.Parallel()
	v := start(t, impatient())
	c := v.connect(everything)
	r := receive(t, 410)
	sub := c.subscribe(r.url, "", "deal.created", "deal.won").str("id")
	c.call("POST", "/deals", `{"title":"Two events","stage":"won"}`).want(201)
	r.next(t)
	c.until(func() bool { return c.call("GET", "/webhooks/"+sub, "").want(200).json()["active"] == false })
	c.call("POST", "/deals", `{"title":"Unheard"}`).want(201)
	v.crm.Close() // ends what is under way
	if len(r.got) != 0 {
		t.Error("something was sent to a receiver that is gone")
	}
}

func TestWebhook_SwitchedOnAgainSendsWhatWaited(t *testing.T) {
	t.Parallel()
	c := start(t, impatient()).connect(everything)
	r := receive(t, 410)
	sub := c.subscribe(r.url, "", "deal.created", "deal.won").str("id")
	c.call("POST", "/deals", `{"title":"Two events","stage":"won"}`).want(201)
	r.next(t)
	c.until(func() bool { return c.call("GET", "/webhooks/"+sub, "").want(200).json()["active"] == false })
	c.call("PATCH", "/webhooks/"+sub, `{"active":true}`).want(200)
	rows, _ := c.list("/webhooks/" + sub + "/deliveries")
	if len(rows) != 2 || rows[0]["event"] != "deal.created" || rows[0]["state"] != "failed" || rows[0]["attempts"] != 1.0 {
		t.Errorf("deliveries: %v", rows)
	}
	if kind, _ := r.next(t).event(t); kind != "deal.won" {
		t.Errorf("what waited was %s", kind)
	}
}

func TestWebhook_UndeliveredEventsSurviveARestart(t *testing.T) {
	t.Parallel()
	cfg := onDisk(t)
	cfg.RetryDelays = []time.Duration{time.Hour}
	v := start(t, cfg)
	c := v.connect(everything)
	r := receive(t, 503)
	c.subscribe(r.url, vectorSecret, "contact.created")
	for _, name := range []string{"First", "Second"} {
		c.call("POST", "/contacts", `{"name":"`+name+`"}`).want(201)
	}
	failed := r.next(t)
	v.stop()
	start(t, cfg)
	for i, want := range []string{"First", "Second"} {
		h := r.next(t)
		if _, data := h.event(t); data["name"] != want {
			t.Errorf("event %d is about %v, want %s", i, data["name"], want)
		}
		if same := h.header.Get("webhook-id") == failed.header.Get("webhook-id"); same != (i == 0) {
			t.Errorf("event %d: webhook-id %s, before the restart %s", i, h.header.Get("webhook-id"), failed.header.Get("webhook-id"))
		}
	}
}

func TestWebhook_OneDeafReceiverDoesNotStopAnother(t *testing.T) {
	t.Parallel()
	cfg := unlimited()
	cfg.RetryDelays = []time.Duration{time.Hour}
	c := start(t, cfg).connect(everything)
	deaf, fine := receive(t, 500), receive(t)
	c.subscribe(deaf.url, "", "contact.created")
	c.subscribe(fine.url, "", "contact.created")
	for range 3 {
		c.call("POST", "/contacts", `{"name":"A"}`).want(201)
	}
	for range 3 {
		fine.next(t)
	}
}

func TestWebhook_ManyEventsArriveOnceInOrder(t *testing.T) {
	t.Parallel()
	c := start(t, impatient()).connect(everything)
	r := receive(t)
	c.subscribe(r.url, "", "contact.created")
	const n = 100
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range n / 4 {
				c.call("POST", "/contacts", `{"name":"A"}`).want(201)
			}
		})
	}
	wg.Wait()
	var last time.Time
	for range n {
		_, data := r.next(t).event(t)
		at, err := time.Parse(time.RFC3339Nano, data["created_at"].(string))
		if err != nil || !at.After(last) {
			t.Fatalf("%s came after %s: %v", at, last, err)
		}
		last = at
	}
	if len(r.got) != 0 {
		t.Error("an event came twice")
	}
}

func TestSubscription_SecretIsShownOnce(t *testing.T) {
	t.Parallel()
	c := start(t, demo.Config{}).connect(everything)
	r := receive(t)
	made := c.subscribe(r.url, "", "contact.created")
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(made.str("secret"), "whsec_"))
	if err != nil || len(key) != 24 {
		t.Errorf("generated secret %q", made.str("secret"))
	}
	for _, a := range []answer{
		c.call("GET", "/webhooks", ""), c.call("GET", "/webhooks/"+made.str("id"), ""),
		c.call("PATCH", "/webhooks/"+made.str("id"), `{"events":["deal.won"]}`),
	} {
		if a.want(200); strings.Contains(a.body, "whsec_") {
			t.Errorf("shown again: %s", a.body)
		}
	}
	c.call("PATCH", "/webhooks/"+made.str("id"), `{"secret":"`+vectorSecret+`","events":["contact.created"]}`).want(200)
	c.call("POST", "/contacts", `{"name":"A"}`).want(201)
	h := r.next(t)
	if h.header.Get("webhook-signature") != signature(t, vectorSecret, h.header.Get("webhook-id"), h.header.Get("webhook-timestamp"), h.body) {
		t.Error("the new secret is not used")
	}
}

func TestSubscription_RefusesWhatItMustNotDo(t *testing.T) {
	t.Parallel()
	c := start(t, unlimited()).connect(everything)
	for _, row := range []struct{ name, url, events, secret, field string }{
		{"other machine", "http://192.0.2.1/", `["deal.won"]`, "", "url"},
		{"name", "http://example.com/", `["deal.won"]`, "", "url"},
		{"name that looks local", "http://localhost.example.com/", `["deal.won"]`, "", "url"},
		{"any address", "http://0.0.0.0/", `["deal.won"]`, "", "url"},
		{"metadata service", "http://169.254.169.254/", `["deal.won"]`, "", "url"},
		{"file", "file:///etc/passwd", `["deal.won"]`, "", "url"},
		{"user", "http://a:b@127.0.0.1/", `["deal.won"]`, "", "url"},
		{"no address", "", `["deal.won"]`, "", "url"},
		{"no event", "http://127.0.0.1/", `[]`, "", "events"},
		{"unknown event", "http://127.0.0.1/", `["deal.gone"]`, "", "events"},
		{"events no list", "http://127.0.0.1/", `"deal.won"`, "", "events"},
		{"bare secret", "http://127.0.0.1/", `["deal.won"]`, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret"},
		{"short secret", "http://127.0.0.1/", `["deal.won"]`, "whsec_AAAA", "secret"},
	} {
		got := c.call("POST", "/webhooks", fmt.Sprintf(`{"url":%q,"events":%s,"secret":%q}`, row.url, row.events, row.secret))
		fields, _ := got.json()["error"].(map[string]any)["fields"].(map[string]any)
		if _, named := fields[row.field]; got.status != 422 || !named {
			t.Errorf("%s: %d %s", row.name, got.status, got.body)
		}
	}
	if rows, _ := c.list("/webhooks"); len(rows) != 0 {
		t.Errorf("made anyway: %v", rows)
	}
}

func TestSubscription_IsInvisibleToOtherClients(t *testing.T) {
	t.Parallel()
	v := start(t, impatient())
	c := v.connect(everything)
	if err := v.crm.AddClient("other", "secret", callback); err != nil {
		t.Fatal(err)
	}
	id := c.subscribe("http://127.0.0.1:1/", "", "contact.created").str("id")
	c.call("POST", "/contacts", `{"name":"A"}`).want(201)
	delivery := c.settled(id)[0]["id"].(string)

	code := v.consent(map[string]string{"client_id": "other"}).Get("code")
	got := v.form("/oauth/token", basic("other", "secret"), map[string][]string{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {callback}, "code_verifier": {verifier},
	}).want(200)
	other := caller{v, got.str("access_token")}
	for _, row := range [][3]string{
		{"GET", "", ""},
		{"PATCH", "", `{"active":false}`},
		{"DELETE", "", ""},
		{"GET", "/deliveries", ""},
		{"POST", "/deliveries/" + delivery + "/redeliver", ""},
	} {
		other.call(row[0], "/webhooks/"+id+row[1], row[2]).want(404)
	}
	if rows, _ := other.list("/webhooks"); len(rows) != 0 {
		t.Errorf("the other client sees %v", rows)
	}
	c.call("DELETE", "/webhooks/"+id, "").want(204)
	c.call("GET", "/webhooks/"+id, "").want(404)
}

func TestWebhooks_EndWhenTheyExpireUnlessTheyAreRenewed(t *testing.T) {
	t.Parallel()
	now := &clock{t: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)}
	cfg := unlimited()
	cfg.Now, cfg.TokenTTL = now.now, 48*time.Hour
	c := start(t, cfg).connect(everything)
	made := c.call("POST", "/webhooks", `{"url":"http://127.0.0.1:9/","events":["contact.created"],"secret":"","expires_in_s":3600}`).want(201)
	path := "/webhooks/" + made.str("id")
	if made.str("expires_at") == "" {
		t.Fatalf("no end: %s", made.body)
	}
	now.move(59 * time.Minute)
	c.call("PATCH", path, `{"expires_in_s":3600}`).want(200)
	now.move(59 * time.Minute)
	c.call("GET", path, "").want(200)
	now.move(2 * time.Minute)
	for _, method := range []string{"GET", "DELETE"} {
		c.call(method, path, "").want(404)
	}
	c.call("PATCH", path, `{"expires_in_s":3600}`).want(404)
	if rows, _ := c.list("/webhooks"); len(rows) != 0 {
		t.Errorf("still listed: %v", rows)
	}
	c.call("POST", "/webhooks", `{"url":"http://127.0.0.1:9/","events":["contact.created"],"expires_in_s":0}`).want(422)
}
