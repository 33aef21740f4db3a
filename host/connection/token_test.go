package connection_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
)

func TestToken_UnderstandsTheAnswersOfManyVendors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		shape  func(w http.ResponseWriter, a tokenAnswer)
		change func(*abi.OAuth2)
		life   time.Duration // as the room understands it; 0: not said
	}{
		"as the RFC says": {shape: nil, life: time.Hour},
		"lifetime as a text": {life: time.Hour, shape: func(w http.ResponseWriter, a tokenAnswer) {
			writeJSON(w, 200, map[string]any{"access_token": a.access, "refresh_token": a.refresh, "expires_in": " 3600 "})
		}},
		"lifetime with a fraction": {life: 1500 * time.Millisecond, shape: func(w http.ResponseWriter, a tokenAnswer) {
			writeJSON(w, 200, map[string]any{"access_token": a.access, "refresh_token": a.refresh, "expires_in": 1.5})
		}},
		"no lifetime": {life: 0, shape: func(w http.ResponseWriter, a tokenAnswer) {
			writeJSON(w, 200, map[string]any{"access_token": a.access, "refresh_token": a.refresh})
		}},
		"lifetime assumed": {
			life: 100 * time.Second, change: func(o *abi.OAuth2) { o.Refresh = &abi.RefreshPolicy{AssumeExpiresS: 100} },
			shape: func(w http.ResponseWriter, a tokenAnswer) {
				writeJSON(w, 200, map[string]any{"access_token": a.access, "refresh_token": a.refresh, "expires_in": nil})
			},
		},
		"lifetime that makes no sense": {life: 0, shape: func(w http.ResponseWriter, a tokenAnswer) {
			writeJSON(w, 200, map[string]any{"access_token": a.access, "refresh_token": a.refresh, "expires_in": -1})
		}},
		"lifetime for ever": {life: 10 * 365 * 24 * time.Hour, shape: func(w http.ResponseWriter, a tokenAnswer) {
			_, _ = w.Write([]byte(`{"access_token":"` + a.access + `","expires_in":1e300}`))
		}},
		"moment in seconds": {
			life: time.Hour, change: func(o *abi.OAuth2) { o.TokenResponse = &abi.TokenResponse{ExpiresAt: "/expires_at"} },
			shape: func(w http.ResponseWriter, a tokenAnswer) {
				writeJSON(w, 200, map[string]any{"access_token": a.access, "refresh_token": a.refresh, "expires_at": newClock().Now().Add(time.Hour).Unix()})
			},
		},
		"moment in milliseconds": {
			life: time.Hour, change: func(o *abi.OAuth2) { o.TokenResponse = &abi.TokenResponse{ExpiresAt: "/expires_at"} },
			shape: func(w http.ResponseWriter, a tokenAnswer) {
				writeJSON(w, 200, map[string]any{"access_token": a.access, "refresh_token": a.refresh, "expires_at": newClock().Now().Add(time.Hour).UnixMilli()})
			},
		},
		"moment as a text": {
			life: time.Hour, change: func(o *abi.OAuth2) { o.TokenResponse = &abi.TokenResponse{ExpiresAt: "/expires_at"} },
			shape: func(w http.ResponseWriter, a tokenAnswer) {
				writeJSON(w, 200, map[string]any{"access_token": a.access, "refresh_token": a.refresh, "expires_at": newClock().Now().Add(time.Hour).Format(time.RFC3339)})
			},
		},
		"form-encoded": {life: time.Hour, shape: func(w http.ResponseWriter, a tokenAnswer) {
			w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
			_, _ = w.Write([]byte(url.Values{"access_token": {a.access}, "refresh_token": {a.refresh}, "expires_in": {"3600"}, "scope": {"a b"}}.Encode()))
		}},
		"JSON as text/html": {life: time.Hour, shape: func(w http.ResponseWriter, a tokenAnswer) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprintf(w, "\n {\"access_token\":%q,\"refresh_token\":%q,\"expires_in\":3600}\n", a.access, a.refresh)
		}},
		"nested": {life: time.Hour, change: func(o *abi.OAuth2) {
			o.TokenResponse = &abi.TokenResponse{AccessToken: "/data/tokens/0/value", RefreshToken: "/data/refresh", ExpiresIn: "/data/ttl"}
		}, shape: func(w http.ResponseWriter, a tokenAnswer) {
			writeJSON(w, 200, map[string]any{"data": map[string]any{"tokens": []any{map[string]any{"value": a.access}}, "refresh": a.refresh, "ttl": 3600}})
		}},
		"the user's token inside the bot's": {life: time.Hour, change: func(o *abi.OAuth2) {
			o.TokenResponse = &abi.TokenResponse{AccessToken: "/authed_user/access_token", RefreshToken: "/authed_user/refresh_token", ExpiresIn: "/authed_user/expires_in"}
		}, shape: func(w http.ResponseWriter, a tokenAnswer) {
			writeJSON(w, 200, map[string]any{"ok": true, "access_token": "bot", "error": nil, "authed_user": map[string]any{
				"access_token": a.access, "refresh_token": a.refresh, "expires_in": 3600,
			}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.vendor.shape = test.shape
			if test.change != nil {
				r.install(r.vendor.changed(func(m *abi.Manifest) { test.change(m.Auth.OAuth2) }))
			}
			got := r.connect()
			c := r.credential(got.CredentialID)
			life, renew := time.Duration(0), time.Duration(0)
			if !c.ExpiresAt.IsZero() {
				life, renew = c.ExpiresAt.Sub(r.clock.Now()), c.RenewAt.Sub(r.clock.Now())
			}
			if life != test.life || renew != test.life-min(time.Minute, test.life/5) {
				t.Errorf("lives %s and is renewed after %s, want %s", life, renew, test.life)
			}
			_, err := r.get(got.EntityID, "/things")
			check(t, err)
			if test.life > 0 && test.life < 1000*time.Hour {
				r.clock.advance(2 * time.Hour)
				_, err = r.get(got.EntityID, "/things")
				check(t, err)
			}
		})
	}
}

func TestToken_SaysWhatIsWrongWithAnAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		kind   fault.Kind
		side   fault.Side
		says   string
	}{
		"error inside 200":      {200, `{"ok":false,"error":"invalid_code"}`, fault.Invalid, fault.Remote, "invalid_code"},
		"error as an object":    {200, `{"error":{"message":"x"}}`, fault.Invalid, fault.Remote, "refuses to give tokens"},
		"error in a form":       {200, `error=bad_verification_code&error_description=The+code+is+wrong`, fault.Invalid, fault.Remote, "bad_verification_code): The code is wrong"},
		"invalid_grant":         {400, `{"error":"invalid_grant","error_description":"expired\u0000"}`, fault.Invalid, fault.Remote, "invalid_grant): expired"},
		"invalid_client":        {401, `{"error":"invalid_client"}`, fault.Unavailable, fault.Host, "operator must check"},
		"401 without words":     {401, ``, fault.Invalid, fault.Remote, "401"},
		"403 page":              {403, `<html>`, fault.Invalid, fault.Remote, "403"},
		"500":                   {500, `{"error":"oops"}`, fault.Unavailable, fault.Remote, "500"},
		"503":                   {503, ``, fault.Unavailable, fault.Remote, "503"},
		"429":                   {429, ``, fault.RateLimited, fault.Remote, "429"},
		"redirect":              {302, ``, fault.Unavailable, fault.Remote, "redirect"},
		"no token":              {200, `{}`, fault.Unavailable, fault.Remote, "no access token at /access_token"},
		"token is a number":     {200, `{"access_token":7}`, fault.Unavailable, fault.Remote, "no access token"},
		"token is empty":        {200, `{"access_token":""}`, fault.Unavailable, fault.Remote, "no access token"},
		"nothing":               {200, ``, fault.Unavailable, fault.Remote, "no access token"},
		"HTML":                  {200, `<html><body>Hello</body></html>`, fault.Unavailable, fault.Remote, "no access token"},
		"list":                  {200, `[1,2]`, fault.Unavailable, fault.Remote, "no access token"},
		"too large":             {200, `{"access_token":"` + strings.Repeat("x", 2<<20) + `"}`, fault.TooLarge, fault.Remote, ""},
		"error repeats secrets": {400, `{"error":"invalid_grant","error_description":"secret is SECRET"}`, fault.Invalid, fault.Remote, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			data := r.callback()
			for range 4 { // a busy server is asked again
				r.vendor.tokenFails = append(r.vendor.tokenFails, func(w http.ResponseWriter) {
					w.Header().Set("Location", "/token")
					w.WriteHeader(test.status)
					_, _ = w.Write([]byte(test.body))
				})
			}
			_, err := r.Authorize(t.Context(), r.mine, "crm", data)
			wants(t, err, test.kind, test.side)
			says(t, err, test.says)
			if strings.ContainsRune(fault.PublicMessage(err), 0) {
				t.Error("the message has a control character")
			}
			r.nothing()
		})
	}
}

func TestToken_ACodeIsSentOnceUnlessTheServerIsBusy(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{500: 1, 502: 1, 504: 1, 400: 1, 503: 4} {
		r := newRig(t)
		data := r.callback()
		r.vendor.failTokens(4, status)
		if _, err := r.Authorize(t.Context(), r.mine, "crm", data); err == nil {
			t.Errorf("%d connects", status)
		}
		if n := r.vendor.grants(""); n != want {
			t.Errorf("%d: the code was sent %d times, want %d", status, n, want)
		}
	}
}

func TestToken_WritesTheRequestAsTheVendorWantsIt(t *testing.T) {
	t.Parallel()
	fields := func(c tokenCall) url.Values { return c.form }
	for name, test := range map[string]struct {
		change func(*abi.OAuth2)
		fields func(c tokenCall) url.Values
		ok     func(c tokenCall) bool
	}{
		"form": {func(*abi.OAuth2) {}, fields, func(c tokenCall) bool {
			return c.method == "POST" && c.header.Get("Content-Type") == "application/x-www-form-urlencoded"
		}},
		"json": {func(o *abi.OAuth2) { o.TokenBody = abi.BodyKindJSON }, func(c tokenCall) url.Values {
			var doc map[string]string
			_ = json.Unmarshal([]byte(c.body), &doc)
			q := url.Values{}
			for k, v := range doc {
				q.Set(k, v)
			}
			return q
		}, func(c tokenCall) bool { return c.header.Get("Content-Type") == "application/json" }},
		"query": {
			func(o *abi.OAuth2) { o.TokenBody = abi.BodyKindQuery }, func(c tokenCall) url.Values { return c.query },
			func(c tokenCall) bool { return c.method == "POST" && c.body == "" },
		},
		"get": {
			func(o *abi.OAuth2) { o.TokenMethod = "GET" }, func(c tokenCall) url.Values { return c.query },
			func(c tokenCall) bool { return c.method == "GET" && c.body == "" },
		},
		"multipart": {func(o *abi.OAuth2) { o.TokenBody = abi.BodyKindMultipart }, nil, func(c tokenCall) bool {
			return strings.HasPrefix(c.header.Get("Content-Type"), "multipart/form-data; boundary=") &&
				strings.Contains(c.body, "name=code\r\n\r\ncode-") && strings.Contains(c.body, "name=client_secret\r\n\r\ns3cret+/ %&=ü\r\n")
		}},
		"more fields and headers": {func(o *abi.OAuth2) {
			o.TokenParams = map[string]string{"audience": "api {{settings.client_id}}"}
			o.TokenHeaders = map[string]string{"X-App": "{{settings.client_secret}}", "Authorization": "App {{settings.client_id}}"}
		}, fields, func(c tokenCall) bool {
			return c.form.Get("audience") == "api client/1" && c.header.Get("X-App") == "s3cret+/ %&=ü" && c.header.Get("Authorization") == "App client/1"
		}},
		"public client": {func(o *abi.OAuth2) { o.ClientAuth = abi.ClientAuthNone }, fields, func(c tokenCall) bool {
			return !c.form.Has("client_secret") && c.header.Get("Authorization") == ""
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.vendor.changed(func(m *abi.Manifest) {
				m.Auth.OAuth2.ClientAuth = abi.ClientAuthPost
				test.change(m.Auth.OAuth2)
			}))
			data := r.callback()
			r.vendor.tokenFails = []func(http.ResponseWriter){func(w http.ResponseWriter) {
				r.vendor.mu.Lock()
				defer r.vendor.mu.Unlock()
				r.vendor.issue(w, &family{})
			}}
			_, err := r.Authorize(t.Context(), r.mine, "crm", data)
			check(t, err)
			c := r.vendor.lastToken()
			if !test.ok(c) {
				t.Errorf("got %+v", c)
			}
			if test.fields == nil {
				return
			}
			got := test.fields(c)
			if got.Get("grant_type") != "authorization_code" || got.Get("code") != data["code"] || got.Get("redirect_uri") != r.vendor.redirect ||
				got.Get("client_id") != r.vendor.id || len(got.Get("code_verifier")) != 43 {
				t.Errorf("got %v", got)
			}
			if name != "public client" && got.Get("client_secret") != r.vendor.secret {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestToken_RefreshesAtItsOwnAddressWithItsOwnFields(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.Auth.OAuth2.RefreshURL = "{{settings.base_url}}/refresh?v=2"
		m.Auth.OAuth2.RefreshParams = map[string]string{"old": "{{credential.access_token}}"}
		m.Auth.OAuth2.TokenParams = map[string]string{"only": "first"}
	}))
	e := r.connect().EntityID
	if first := r.vendor.lastToken(); first.form.Get("only") != "first" {
		t.Errorf("got %v", first.form)
	}
	r.clock.advance(2 * time.Hour)
	_, err := r.get(e, "/things")
	check(t, err)
	c := r.vendor.lastToken()
	if c.query.Get("v") != "2" || !strings.HasPrefix(c.form.Get("old"), "access-") || c.form.Has("only") || c.form.Has("redirect_uri") {
		t.Errorf("got %v %v", c.query, c.form)
	}
}

func TestToken_OneThatIsNeverRenewedIsUsedUntilItIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) { m.Auth.OAuth2.Refresh = &abi.RefreshPolicy{Never: true} }))
	got := r.connect()
	r.clock.advance(59*time.Minute + 30*time.Second)
	_, err := r.get(got.EntityID, "/things")
	check(t, err)
	r.clock.advance(time.Hour)
	_, err = r.get(got.EntityID, "/things")
	wants(t, err, fault.Unauthorized, fault.Remote)
	if c := r.credential(got.CredentialID); c.Status != connection.Invalid || r.vendor.grants("refresh_token") != 0 {
		t.Errorf("the credential is %s after %d refreshes", c.Status, r.vendor.grants("refresh_token"))
	}
}

func TestToken_IsNotAskedForWhereNoCredentialMayGo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) { m.Hosts[0].WithoutCredential = true }))
	_, err := r.Authorize(t.Context(), r.mine, "crm", r.callback())
	wants(t, err, fault.Forbidden, fault.Guest)
	if n := r.vendor.grants(""); n != 0 {
		t.Errorf("%d token requests", n)
	}
}

func TestToken_TheOperatorsSecretGoesToAServerThatTheManifestNamesToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		settings := append([]abi.Setting(nil), m.Settings...)
		typedAddress(m)
		m.Settings = settings
		m.Auth.OAuth2.ClientID, m.Auth.OAuth2.ClientSecret = "", ""
		m.Hosts = append(m.Hosts, abi.HostClaim{Host: "{{settings.base_url}}", Reason: "the one that the operator vouches for"})
	}))
	next, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"base_url": r.vendor.URL})
	check(t, err)
	_, err = r.Authorize(t.Context(), r.mine, "crm", visit(t, next.URL))
	check(t, err)
}
