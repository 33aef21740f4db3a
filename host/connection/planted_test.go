package connection_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// witness collects everything that people, guests and logs get to see.
type witness struct {
	mu   sync.Mutex
	seen map[string]string
}

func (w *witness) saw(where string, v any) {
	text := fmt.Sprintf("%v %+v %#v", v, v, v)
	if err, ok := v.(error); ok {
		text += err.Error()
	}
	if b, err := json.Marshal(v); err == nil {
		text += string(b)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[fmt.Sprintf("%s %d", where, len(w.seen))] = text
}

// TestPlanted_ASecretIsFoundNowhere sends secrets of every kind through every path of the room, with a vendor that echoes
// everything it gets, and looks for them in everything that comes out.
func TestPlanted_ASecretIsFoundNowhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := &witness{seen: map[string]string{}}
	planted := []string{"plant-client-Kx9/+ z", "plant-pass-81hd", "plant-hook-77ab", "access-rotates-now"}
	r.vendor.secret, r.vendor.method = planted[0], "post"
	m := r.vendor.changed(func(m *abi.Manifest) {
		typedAddress(m)
		m.Auth.Form.JSONSchema = json.RawMessage(`{"type":"object","required":["base_url"],"properties":{"base_url":{"type":"string","format":"uri"},
			"client_id":{"type":"string"},"client_secret":{"type":"string","format":"password"},"pass":{"type":"string","format":"password"}}}`)
		m.Auth.OAuth2.ClientAuth = abi.ClientAuthPost
		m.Auth.Apply = []abi.Placement{
			{In: abi.PlaceHeader, Name: "Authorization", Value: "Bearer {{credential.access_token}}"},
			{In: abi.PlaceQuery, Name: "pass", Value: "{{form.pass}}"},
		}
		m.Auth.Keep = []abi.Keep{{Name: "rotating", From: "header:X-Rotating-Token", Optional: true}}
		m.API.Faults = []abi.FaultRule{{When: abi.Predicate{Status: 418}, Kind: abi.FaultKindInvalid, Message: "/message"}}
	})
	r.install(m, abi.ExportCallMethod)
	r.vendor.handle("/api/echo", echo(200))
	r.vendor.handle("/api/fail", echo(418))
	r.vendor.handle("/api/leak", func(rw http.ResponseWriter, _ *http.Request) { // what was not sent with this request
		r.vendor.mu.Lock()
		defer r.vendor.mu.Unlock()
		leak := map[string]any{"client": r.vendor.secret}
		for token, f := range r.vendor.refresh {
			if f.current == token {
				leak["refresh"] = token
			}
		}
		writeJSON(rw, 200, leak)
	})

	// Authorising, also in vain.
	form := map[string]any{"base_url": r.vendor.URL, "client_id": r.vendor.id, "client_secret": planted[0], "pass": planted[1]}
	_, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"client_secret": planted[0], "pass": []any{planted[1]}})
	w.saw("refused form", err)
	next, err := r.Authorize(t.Context(), r.mine, "crm", form)
	check(t, err)
	w.saw("redirect", next)
	failing := visit(t, next.URL)
	for range 4 {
		r.vendor.tokenFails = append(r.vendor.tokenFails, func(rw http.ResponseWriter) {
			writeJSON(rw, 400, map[string]string{"error": "invalid_grant", "error_description": "secret " + planted[0] + " pass " + planted[1]})
		})
	}
	_, err = r.Authorize(t.Context(), r.mine, "crm", failing)
	w.saw("failed exchange", err)
	r.vendor.tokenFails = nil
	next, err = r.Authorize(t.Context(), r.mine, "crm", form)
	check(t, err)
	got, err := r.Authorize(t.Context(), r.mine, "crm", visit(t, next.URL))
	check(t, err)
	w.saw("authorization", got)

	// A guest that is told everything it may know, on an account that it uses in every way.
	h := secret.NewHandles()
	handle := h.Issue(secret.NewText(planted[2]))
	r.guest.on(abi.ExportCallMethod, func(ctx context.Context, c plugin.Call) (any, error) {
		for _, q := range []abi.HTTPRequest{
			{URL: "/leak"},
			{URL: "/echo"},
			{URL: "/echo?s=" + handle},
			{Method: "POST", URL: "/echo", JSON: json.RawMessage(`{"s":"` + handle + `"}`)},
			{Method: "POST", URL: "/echo", Form: []abi.Pair{{Name: "s", Value: handle}}},
			{URL: "/fail"},
			{URL: "/fail", RawStatus: true},
			{URL: "/nowhere/" + handle, RawStatus: true},
			{URL: "http://127.0.0.1:1/"},
		} {
			res, err := c.Can.HTTP.Send(ctx, q)
			w.saw("guest's answer", res)
			w.saw("guest's fault", plugin.FaultOf(err))
			w.saw("guest's error", err)
		}
		sig, err := c.Can.Crypto.HMACSign(ctx, abi.HMACSign{Secret: handle, Message: []byte("x")})
		w.saw("signature", sig)
		return abi.MethodOutput{Value: json.RawMessage(`"done"`)}, err
	})
	for range 3 {
		out, err := r.CallMethod(t.Context(), r.mine.Owner, got.EntityID, "list_things", nil,
			connection.CallOptions{Handles: h, Log: func(_, message string) { w.saw("guest's log", message) }})
		check(t, err)
		w.saw("method", out)
		r.clock.advance(2 * time.Hour)
	}
	res, err := r.send(got.EntityID, abi.HTTPRequest{URL: "/echo"}, h)
	w.saw("answer", res)
	w.saw("error", err)
	test, err := r.TestEntity(t.Context(), r.mine, got.EntityID)
	w.saw("test", test)
	w.saw("error", err)
	e, err := r.Entity(t.Context(), r.mine, got.EntityID)
	check(t, err)
	w.saw("entity", e)
	w.saw("credential", r.credential(got.CredentialID))

	// A credential that dies.
	r.vendor.set(func(v *vendor) { v.refresh = map[string]*family{} })
	r.clock.advance(2 * time.Hour)
	_, err = r.get(got.EntityID, "/echo")
	w.saw("dead", err)
	next, err = r.Authorize(t.Context(), r.mine, "crm", form) // a state that stays
	check(t, err)
	w.saw("redirect", next)

	r.vendor.mu.Lock()
	for token := range r.vendor.refresh {
		planted = append(planted, token)
	}
	for token := range r.vendor.access {
		planted = append(planted, token)
	}
	for _, c := range r.vendor.tokens {
		for _, name := range []string{"code", "code_verifier", "refresh_token"} {
			if v := c.form.Get(name); v != "" {
				planted = append(planted, v)
			}
		}
	}
	r.vendor.mu.Unlock()
	if len(planted) < 12 {
		t.Fatalf("only %d secrets were planted", len(planted))
	}
	for name, text := range databaseFiles(t, r) {
		w.seen["file "+name] = text
	}
	w.seen["log"] = r.log.String()
	w.seen["guest's inputs"] = strings.Join(r.guest.inputs, "\n")
	if len(r.log.String()) < 1000 || len(w.seen) < 60 {
		t.Fatalf("looked at %d places and %d bytes of log only", len(w.seen), r.log.Len())
	}
	for _, p := range planted {
		for _, spelling := range []string{p, url.QueryEscape(p), url.PathEscape(p), base64.StdEncoding.EncodeToString([]byte(p))} {
			for where, text := range w.seen {
				if strings.Contains(text, spelling) {
					t.Errorf("%q is in %s", p, where)
				}
			}
		}
	}
}

// echo answers with everything that came.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.Header().Set("X-Rotating-Token", "access-rotates-now")
		writeJSON(w, status, map[string]any{"message": "you sent " + r.Header.Get("Authorization") + " to " + r.URL.String(), "headers": r.Header, "url": r.URL.String(), "body": read(r)})
	}
}
