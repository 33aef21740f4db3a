package host_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/frigg-host/frigg-host/host/secret"
)

// receiver is an endpoint of the embedding product. It takes what is signed with its secret.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	down   bool
	took   []string // bodies, each once
	seen   map[string]bool
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{seen: map[string]bool{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	id := q.Header.Get("webhook-id")
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, q.Header.Get("webhook-timestamp"), body)
	switch {
	case "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) != q.Header.Get("webhook-signature"):
		w.WriteHeader(http.StatusUnauthorized)
	case r.down:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		if !r.seen[id] {
			r.seen[id], r.took = true, append(r.took, string(body))
		}
	}
}

func (r *receiver) be(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// has reports how many messages with this type and text it took.
func (r *receiver) has(name, text string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, body := range r.took {
		if strings.Contains(body, `{"type":"`+name+`"`) && strings.Contains(body, text) {
			n++
		}
	}
	return n
}

// TestOutbound_AGuestTellsTheProduct goes the whole road: a webhook, a guest that notifies, signed webhooks out to the owner
// and to the operator, a product that is away for a while, and a restart in between.
func TestOutbound_AGuestTellsTheProduct(t *testing.T) {
	t.Parallel()
	r := newRig(t, plugins(t, ""), func(r *rig) { r.config.BackendKey = secret.NewText("backend key") })
	c, stranger := r.user("ada", "correct horse"), r.user("bob", "correct horse")
	operator := &client{rig: r, header: http.Header{"X-Frigg-Api-Key": {"backend key"}}}
	hers, all, his := newReceiver(t), newReceiver(t), newReceiver(t)
	for to, who := range map[*receiver]*client{hers: c, all: operator, his: stranger} {
		var made struct{ ID, Secret string }
		who.mustDo(http.StatusCreated, http.MethodPost, "/api/v2/webhook-endpoints", map[string]any{"url": to.URL, "events": []string{"integration.*", "notify.TOLD"}}, &made)
		to.secret = made.Secret
		var tested struct{ OK bool }
		if who.mustDo(http.StatusOK, http.MethodPost, "/api/v2/webhook-endpoints/"+made.ID+"/test", nil, &tested); !tested.OK {
			t.Errorf("the test of %s's endpoint failed", who.name)
		}
	}
	id := c.keyFlow(map[string]any{"typed_webhook_secret": "webhook secret"})
	r.await("she hears that it works", func() bool { return hers.has("integration.enabled", string(id)) == 1 })

	hers.be(true)
	o := &ordeal{rig: r, haystack: newHaystack(), ada: c, flow: id}
	o.post(http.StatusOK, "typed", "webhook secret", "first", step{"do": "notify", "text": "the deal is won"})
	r.await("the operator hears of it", func() bool { return all.has("notify.TOLD", "the deal is won") == 1 })
	r.stop()
	hers.be(false)
	r.start()
	r.await("she hears of it", func() bool { return hers.has("notify.TOLD", "the deal is won") == 1 })

	if status, answer := c.act(id, step{"do": "notify", "text": "by hand"}); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	r.await("she hears of that, too", func() bool { return hers.has("notify.TOLD", "by hand") == 1 })
	var list struct{ Events []struct{ Type string } }
	c.mustDo(http.StatusOK, http.MethodGet, "/api/v2/events?limit=200", nil, &list)
	var names []string
	for _, e := range list.Events {
		names = append(names, e.Type)
	}
	want := []string{"connection.created", "integration.created", "integration.enabled", "webhook.received", "notify.TOLD", "notify.TOLD"}
	if !slices.Equal(names, want) {
		t.Errorf("her events are %v, want %v", names, want)
	}
	if n := his.has("", ""); n != 0 {
		t.Errorf("somebody else was told %d times", n)
	}

	r.stop()
	haystack := r.log.String()
	for _, file := range []string{"frigg.db", "frigg.db-wal"} {
		content, err := os.ReadFile(filepath.Join(r.config.DataDir, file))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		haystack += string(content)
	}
	for _, s := range []string{hers.secret, all.secret, his.secret} {
		if s == "" || strings.Contains(haystack, strings.TrimPrefix(s, "whsec_")) {
			t.Error("a secret of an endpoint lies in the log or in the database")
		}
	}
}
