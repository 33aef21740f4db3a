package connection_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// nothing fails if anything was stored for the owner.
func (r *rig) nothing() {
	r.t.Helper()
	list, err := r.Entities(r.t.Context(), r.mine)
	check(r.t, err)
	if len(list) != 0 {
		r.t.Errorf("%d entities were left behind", len(list))
	}
}

func TestRequirements_SendsThePersonToTheVendor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	need, err := r.Requirements(t.Context(), r.mine, "crm")
	check(t, err)
	u, err := url.Parse(need.URL)
	check(t, err)
	q := u.Query()
	if need.Form != nil || need.Type != abi.AuthKindOAuth2 || !strings.HasPrefix(need.URL, r.vendor.URL+"/authorize?") {
		t.Errorf("got %+v", need)
	}
	want := map[string]string{
		"response_type": "code", "client_id": "client/1", "scope": "read write",
		"redirect_uri": "https://host.example/redirect/crm", "code_challenge_method": "S256",
	}
	for name, text := range want {
		if q.Get(name) != text {
			t.Errorf("%s is %q, want %q", name, q.Get(name), text)
		}
	}
	if len(q.Get("state")) != 43 || len(q.Get("code_challenge")) != 43 {
		t.Errorf("state %q, challenge %q: want 256 bits each", q.Get("state"), q.Get("code_challenge"))
	}
	again, err := r.Requirements(t.Context(), r.mine, "crm")
	check(t, err)
	if again.URL == need.URL {
		t.Error("two redirects share a state")
	}
}

func TestRequirements_AsksForTheFormFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(apiKey))
	need, err := r.Requirements(t.Context(), r.mine, "crm")
	check(t, err)
	if need.Form == nil || need.URL != "" || need.Type != abi.AuthKindAPIKey {
		t.Errorf("got %+v", need)
	}
	r.install(r.vendor.changed(clientCredentials))
	need, err = r.Requirements(t.Context(), r.mine, "crm")
	check(t, err)
	if need.Form == nil || need.URL != "" {
		t.Errorf("without anything to fill in: %+v", need)
	}
}

func TestRequirements_RefusesModulesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := r.vendor.changed(func(m *abi.Manifest) { m.Name = "waits" })
	r.install(other)
	r.catalog.plugins["waits"].State = plugin.NeedsApproval
	r.install(r.vendor.changed(func(m *abi.Manifest) { m.Name = "unset" }))
	delete(r.catalog.settings["unset"], "client_secret")
	r.install(r.vendor.changed(func(m *abi.Manifest) { m.Name = "implicit"; m.Auth.OAuth2.Grant = abi.OAuth2GrantImplicit }))
	for _, test := range []struct {
		module string
		kind   fault.Kind
		says   string
	}{
		{"nosuch", fault.Invalid, "options: crm"},
		{"waits", fault.Forbidden, "approval"},
		{"unset", fault.Forbidden, `"client_secret"`},
		{"implicit", fault.Unsupported, "implicit"},
	} {
		_, err := r.Requirements(t.Context(), r.mine, test.module)
		if !fault.Is(err, test.kind) {
			t.Errorf("%s: got %v, want %s", test.module, err, test.kind)
		}
		says(t, err, test.says)
		_, err = r.Authorize(t.Context(), r.mine, test.module, map[string]any{"code": "x", "state": "y"})
		if !fault.Is(err, test.kind) {
			t.Errorf("%s: Authorize: got %v, want %s", test.module, err, test.kind)
		}
	}
}

func TestRequirements_ShapesTheAuthorizeURL(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*abi.OAuth2)
		check  func(t *testing.T, address string, q url.Values)
	}{
		"extra parameters": {
			func(o *abi.OAuth2) {
				o.AuthorizeParams = map[string]string{"access_type": "offline", "for": "{{settings.client_id}}"}
			},
			func(t *testing.T, _ string, q url.Values) {
				if q.Get("access_type") != "offline" || q.Get("for") != "client/1" {
					t.Errorf("got %v", q)
				}
			},
		},
		"refused parameters": {
			func(o *abi.OAuth2) { o.OmitAuthorizeParams = []string{"response_type", "scope", "state"} },
			func(t *testing.T, _ string, q url.Values) {
				if q.Has("response_type") || q.Has("scope") || q.Has("state") {
					t.Errorf("got %v", q)
				}
				back, err := url.Parse(q.Get("redirect_uri"))
				if err != nil || len(back.Query().Get("state")) != 43 {
					t.Errorf("the redirect address %q carries no state", q.Get("redirect_uri"))
				}
			},
		},
		"no PKCE": {
			func(o *abi.OAuth2) { o.PKCE = abi.PKCEMethodNone },
			func(t *testing.T, _ string, q url.Values) {
				if q.Has("code_challenge") || q.Has("code_challenge_method") {
					t.Errorf("got %v", q)
				}
			},
		},
		"scopes with commas": {
			func(o *abi.OAuth2) { o.ScopeSeparator = "," },
			func(t *testing.T, _ string, q url.Values) {
				if q.Get("scope") != "read,write" {
					t.Errorf("got %q", q.Get("scope"))
				}
			},
		},
		"redirect parameters": {
			func(o *abi.OAuth2) { o.RedirectParams = map[string]string{"account": "a b"} },
			func(t *testing.T, _ string, q url.Values) {
				if q.Get("redirect_uri") != "https://host.example/redirect/crm?account=a+b" {
					t.Errorf("got %q", q.Get("redirect_uri"))
				}
			},
		},
		"query that is there already": {
			func(o *abi.OAuth2) { o.AuthorizeURL += "?tenant=7" },
			func(t *testing.T, _ string, q url.Values) {
				if q.Get("tenant") != "7" || q.Get("client_id") == "" {
					t.Errorf("got %v", q)
				}
			},
		},
		"route in the fragment": {
			func(o *abi.OAuth2) { o.AuthorizeURL += "#!/apps/install" },
			func(t *testing.T, address string, _ url.Values) {
				_, fragment, _ := strings.Cut(address, "#")
				if !strings.HasPrefix(fragment, "!/apps/install?") || !strings.Contains(fragment, "client_id=client%2F1") {
					t.Errorf("got %q", address)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.vendor.changed(func(m *abi.Manifest) { test.change(m.Auth.OAuth2) }))
			need, err := r.Requirements(t.Context(), r.mine, "crm")
			check(t, err)
			u, err := url.Parse(need.URL)
			check(t, err)
			test.check(t, need.URL, u.Query())
		})
	}
}

func TestAuthorize_ConnectsAnAccountByRedirect(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.connect()
	if got.Type != abi.AuthKindOAuth2 || got.CredentialID == "" || got.URL != "" || len(got.Entities) != 1 {
		t.Errorf("got %+v", got)
	}
	e, err := r.Entity(t.Context(), r.mine, got.EntityID)
	check(t, err)
	want := &connection.Entity{
		ID: got.EntityID, Owner: r.mine.Owner, Module: "crm", Credential: got.CredentialID, ExternalID: "7", Name: "Acme",
		Details: json.RawMessage(`{"email":"a@acme.example"}`), Status: connection.OK, CreatedAt: r.clock.Now(), UpdatedAt: r.clock.Now(),
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAuthorize_RefusesCallbacksThatAreNotOurs(t *testing.T) {
	t.Parallel()
	good := func(r *rig) map[string]any { return r.callback() }
	for name, test := range map[string]struct {
		data   func(r *rig) map[string]any
		actor  func(r *rig) account.Actor
		module string
		kind   fault.Kind
		says   string
	}{
		"unknown state":       {data: func(r *rig) map[string]any { d := r.callback(); d["state"] = "guess"; return d }, says: "begin again"},
		"no state":            {data: func(r *rig) map[string]any { d := r.callback(); delete(d, "state"); return d }, says: "no state"},
		"no code":             {data: func(r *rig) map[string]any { d := r.callback(); delete(d, "code"); return d }, says: "neither a code nor an error"},
		"state is not a text": {data: func(r *rig) map[string]any { d := r.callback(); d["state"] = []any{d["state"]}; return d }, says: "no state"},
		"nothing":             {data: func(r *rig) map[string]any { return nil }, says: "no state"},
		"other user":          {data: good, actor: func(r *rig) account.Actor { return r.theirs }, says: "another user"},
		"other user of the same owner": {
			data: good, says: "another user",
			actor: func(r *rig) account.Actor { return account.Actor{User: r.theirs.User, Owner: r.mine.Owner} },
		},
		"other module": {data: good, module: "crm2", says: "another module"},
		"too late":     {data: func(r *rig) map[string]any { d := r.callback(); r.clock.advance(10 * time.Minute); return d }, says: "10 minutes"},
		"wrong code":   {data: func(r *rig) map[string]any { d := r.callback(); d["code"] = "guess"; return d }, says: "invalid_grant"},
		"other issuer": {data: func(r *rig) map[string]any { d := r.callback(); d["iss"] = "https://evil.example"; return d }, says: "another server"},
		"huge":         {data: func(r *rig) map[string]any { d := r.callback(); d["x"] = strings.Repeat("x", 17<<10); return d }, kind: fault.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.vendor.changed(func(m *abi.Manifest) { m.Name = "crm2" }))
			actor, module, kind := r.mine, "crm", fault.Invalid
			if test.actor != nil {
				actor = test.actor(r)
			}
			if test.module != "" {
				module = test.module
			}
			if test.kind != "" {
				kind = test.kind
			}
			_, err := r.Authorize(t.Context(), actor, module, test.data(r))
			if !fault.Is(err, kind) {
				t.Errorf("got %v, want %s", err, kind)
			}
			says(t, err, test.says)
			r.nothing()
			if test.says != "invalid_grant" && r.vendor.grants("") != 0 {
				t.Error("a code was sent to the vendor")
			}
		})
	}
}

func TestAuthorize_AStateIsGoodOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := r.callback()
	got, err := r.Authorize(t.Context(), r.mine, "crm", data)
	check(t, err)
	_, err = r.Authorize(t.Context(), r.mine, "crm", data)
	wants(t, err, fault.Invalid, fault.Caller)
	says(t, err, "used already")
	if n := r.vendor.grants(""); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	_, err = r.get(got.EntityID, "/things") // the connection that there was is untouched
	check(t, err)
}

func TestAuthorize_AStrangerCannotUseUpAState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := r.callback()
	if _, err := r.Authorize(t.Context(), r.theirs, "crm", data); err == nil {
		t.Fatal("the stranger is in")
	}
	_, err := r.Authorize(t.Context(), r.mine, "crm", data)
	check(t, err)
}

func TestAuthorize_ReportsTheVendorsError(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]fault.Kind{
		"access_denied": fault.Forbidden, "temporarily_unavailable": fault.Unavailable,
		"server_error": fault.Unavailable, "invalid_scope": fault.Invalid, "x\x00\ny": fault.Invalid,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			data := r.callback()
			delete(data, "code")
			data["error"], data["error_description"] = code, "user said no\x1b[31m"
			_, err := r.Authorize(t.Context(), r.mine, "crm", data)
			wants(t, err, want, fault.Remote)
			says(t, err, "user said no")
			if strings.ContainsAny(fault.PublicMessage(err), "\x00\x1b\n") {
				t.Errorf("the message %q has control characters", fault.PublicMessage(err))
			}
			_, err = r.Authorize(t.Context(), r.mine, "crm", data)
			says(t, err, "used already")
			r.nothing()
		})
	}
}

func TestAuthorize_TheVerifierMustFit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	mine, other := r.callback(), r.callback()
	mine["code"] = other["code"] // injected: RFC 9700 4.5
	_, err := r.Authorize(t.Context(), r.mine, "crm", mine)
	wants(t, err, fault.Invalid, fault.Remote)
	r.nothing()
}

func TestAuthorize_TakesTokensBackWhenTheAccountCannotBeConnected(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.vendor.handle("/api/me", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	_, err := r.Authorize(t.Context(), r.mine, "crm", r.callback())
	wants(t, err, fault.Unavailable, fault.Remote)
	r.nothing()
	if n := len(r.vendor.revokedTokens()); n != 1 {
		t.Errorf("%d tokens revoked, want 1", n)
	}
}

func TestAuthorize_AsksForAnAddressAndThenRedirects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(typedAddress))
	need, err := r.Requirements(t.Context(), r.mine, "crm")
	check(t, err)
	if need.URL != "" || need.Form == nil {
		t.Fatalf("got %+v", need)
	}
	form := map[string]any{"base_url": r.vendor.URL + "/", "client_id": r.vendor.id, "client_secret": r.vendor.secret}
	next, err := r.Authorize(t.Context(), r.mine, "crm", form)
	check(t, err)
	if next.CredentialID != "" || next.URL == "" || strings.Contains(next.URL, url.QueryEscape(r.vendor.secret)) {
		t.Fatalf("got %+v", next)
	}
	got, err := r.Authorize(t.Context(), r.mine, "crm", visit(t, next.URL))
	check(t, err)
	_, err = r.get(got.EntityID, "/things")
	check(t, err)
	r.clock.advance(2 * time.Hour)
	_, err = r.get(got.EntityID, "/things")
	check(t, err)
}

// typedAddress makes the module one of a server that everybody may run, with an application that the person registers there.
func typedAddress(m *abi.Manifest) {
	m.Settings = nil
	m.Hosts = []abi.HostClaim{{Host: "{{form.base_url}}", Reason: "the server that the person names"}}
	m.Auth.Form = &abi.Form{JSONSchema: json.RawMessage(`{"type":"object","required":["base_url"],"properties":{
		"base_url":{"type":"string","format":"uri"},"client_id":{"type":"string"},"client_secret":{"type":"string","format":"password"}}}`)}
	o := m.Auth.OAuth2
	o.AuthorizeURL, o.TokenURL, o.RevokeURL, o.Issuer = "{{form.base_url}}/authorize", "{{form.base_url}}/token", "{{form.base_url}}/revoke", "{{form.base_url}}"
	o.ClientID, o.ClientSecret = "{{form.client_id}}", "{{form.client_secret}}"
	m.API.BaseURL = "{{form.base_url}}/api"
}

func TestAuthorize_TheOperatorsSecretDoesNotGoToAServerThatAPersonNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		settings := m.Settings
		typedAddress(m)
		m.Settings = settings
		m.Auth.OAuth2.ClientID, m.Auth.OAuth2.ClientSecret = "", "" // from the settings
	}))
	next, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"base_url": r.vendor.URL})
	check(t, err)
	_, err = r.Authorize(t.Context(), r.mine, "crm", visit(t, next.URL))
	wants(t, err, fault.Forbidden, fault.Guest)
	says(t, err, "secret of the operator's")
	if n := r.vendor.grants(""); n != 0 {
		t.Errorf("%d token requests, want none", n)
	}
}

func TestAuthorize_RefusesFormsThatDoNotFit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(typedAddress))
	for name, test := range map[string]struct {
		data map[string]any
		says string
	}{
		"missing":             {map[string]any{"client_id": "x"}, "base_url"},
		"empty":               {map[string]any{"base_url": ""}, "base_url"},
		"wrong type":          {map[string]any{"base_url": 7}, "base_url"},
		"not an address":      {map[string]any{"base_url": "example"}, "must be an address"},
		"other scheme":        {map[string]any{"base_url": "javascript://x/%0aalert(1)"}, "must be an address"},
		"user in the address": {map[string]any{"base_url": "https://a:b@example.com"}, "must be an address"},
		"query":               {map[string]any{"base_url": "https://example.com?x=1"}, "without a query"},
		"walks upwards":       {map[string]any{"base_url": "https://example.com/a/../b"}, "without a query"},
		"too much":            {map[string]any{"base_url": "https://example.com", "x": strings.Repeat("x", 300<<10)}, "bytes"},
	} {
		_, err := r.Authorize(t.Context(), r.mine, "crm", test.data)
		if err == nil || !strings.Contains(fault.PublicMessage(err), test.says) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
	_, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"base_url": "http://127.0.0.1:1", "client_secret": []any{"plant-7f3a"}})
	if strings.Contains(fault.PublicMessage(err), "plant-7f3a") {
		t.Errorf("%v repeats a secret", err)
	}
	r.nothing()
}

func TestAuthorize_TestsAKeyBeforeItIsKept(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*abi.Manifest){
		"by asking who it is": func(*abi.Manifest) {},
		"by the test": func(m *abi.Manifest) {
			m.Auth.Identify = &abi.Identify{ExternalID: "{{form.label}}", Name: ""}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.vendor.changed(func(m *abi.Manifest) { apiKey(m); change(m) }))
			_, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"api_key": "wrong-key", "label": "x"})
			wants(t, err, fault.Invalid, fault.Remote)
			if strings.Contains(fault.PublicMessage(err), "wrong-key") {
				t.Errorf("%v repeats the key", err)
			}
			r.nothing()
			r.vendor.set(func(v *vendor) { v.access["right-key"] = &accessGrant{&family{}, v.clock.Now().Add(time.Hour)} })
			got, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"api_key": "right-key", "label": "x"})
			check(t, err)
			if got.EntityID == "" || got.Type != abi.AuthKindAPIKey {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAuthorize_BasicGoesIntoTheHeader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.Auth.Kind, m.Auth.OAuth2 = abi.AuthKindBasic, nil
		m.Auth.Form = &abi.Form{JSONSchema: json.RawMessage(`{"type":"object","required":["username","password"],"properties":{
			"username":{"type":"string"},"password":{"type":"string","format":"password"}}}`)}
	}))
	r.vendor.handle("/api/me", func(w http.ResponseWriter, req *http.Request) {
		if user, password, ok := req.BasicAuth(); !ok || user != "ada" || password != "pa:ss wörd" {
			w.WriteHeader(401)
			return
		}
		writeJSON(w, 200, map[string]any{"id": "a1"})
	})
	_, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"username": "ada", "password": "wrong"})
	wants(t, err, fault.Invalid, fault.Remote)
	_, err = r.Authorize(t.Context(), r.mine, "crm", map[string]any{"username": "ada", "password": "pa:ss wörd"})
	check(t, err)
}

func TestAuthorize_PasswordGrantLogsInAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.Auth.OAuth2.Grant, m.Auth.OAuth2.AuthorizeURL = abi.OAuth2GrantPassword, ""
		m.Auth.Form = &abi.Form{JSONSchema: json.RawMessage(`{"type":"object","required":["username","password"],"properties":{
			"username":{"type":"string"},"password":{"type":"string","format":"password"}}}`)}
	}))
	_, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"username": "ada", "password": "wrong"})
	wants(t, err, fault.Invalid, fault.Remote)
	got, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"username": "ada", "password": "hunter2 &+"})
	check(t, err)
	r.clock.advance(2 * time.Hour)
	_, err = r.get(got.EntityID, "/things")
	check(t, err)
	if n := r.vendor.grants("password"); n != 3 {
		t.Errorf("%d password grants, want 3", n)
	}
}

func TestAuthorize_LogsInByTheModulesOwnSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	logins := 0
	r.vendor.handle("/login/1", func(w http.ResponseWriter, req *http.Request) {
		if _, body := r.vendor.lastCall(); body != `{"password":"p\"w","user":"ada"}` || req.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(400)
			return
		}
		w.Header().Set("X-Ticket", "ticket-1")
		writeJSON(w, 200, map[string]any{"session": map[string]any{"id": 12345678901234567}, "region": "eu"})
	})
	r.vendor.handle("/login/2", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Get("session") != "12345678901234567" || req.Header.Get("X-Ticket") != "ticket-1" {
			w.WriteHeader(403)
			return
		}
		logins++
		r.vendor.mu.Lock()
		token := r.vendor.next("token")
		r.vendor.access[token] = &accessGrant{&family{}, r.clock.Now().Add(time.Hour)}
		r.vendor.mu.Unlock()
		writeJSON(w, 200, map[string]any{"token": token, "ttl": "3600"})
	})
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.Auth.Kind, m.Auth.OAuth2 = abi.AuthKindCustom, nil
		m.Auth.Form = &abi.Form{JSONSchema: json.RawMessage(`{"type":"object","required":["user","password"],"properties":{
			"user":{"type":"string"},"password":{"type":"string","format":"password"}}}`)}
		m.Auth.Login = []abi.LoginStep{
			{
				Request: abi.RequestTemplate{
					Method: "POST", URL: "{{settings.base_url}}/login/1", Body: abi.BodyKindJSON,
					Fields: map[string]string{"user": "{{form.user}}", "password": "{{form.password}}"},
				},
				Keep: []abi.Keep{{Name: "session", From: "/session/id", Secret: true}, {Name: "region", From: "/region"}, {Name: "ticket", From: "header:X-Ticket", Secret: true}},
			},
			{
				Request: abi.RequestTemplate{
					URL: "{{settings.base_url}}/login/2", Query: map[string]string{"session": "{{credential.session}}"},
					Headers: map[string]string{"X-Ticket": "{{credential.ticket}}"},
				},
				Keep: []abi.Keep{{Name: "jwt", From: "/token", Secret: true}}, ExpiresIn: "/ttl",
			},
		}
		m.Auth.Apply = []abi.Placement{{In: abi.PlaceHeader, Name: "Authorization", Value: "Bearer {{credential.jwt}}"}}
	}))
	got, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"user": "ada", "password": `p"w`})
	check(t, err)
	r.clock.advance(2 * time.Hour)
	_, err = r.get(got.EntityID, "/things")
	check(t, err)
	r.vendor.dropTokens()
	_, err = r.get(got.EntityID, "/things")
	check(t, err)
	if logins != 3 {
		t.Errorf("%d logins, want 3", logins)
	}
	_, err = r.Authorize(t.Context(), r.mine, "crm", map[string]any{"user": "bob", "password": "x"})
	if err == nil {
		t.Error("a refused login connects an account")
	}
}

func TestAuthorize_NothingIsAskedOfAServiceWithoutAccounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.Auth = &abi.Auth{Kind: abi.AuthKindNone}
	}))
	r.vendor.handle("/api/open", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, "hello") })
	got, err := r.Authorize(t.Context(), r.mine, "crm", nil)
	check(t, err)
	res, err := r.get(got.EntityID, "/open")
	check(t, err)
	if strings.TrimSpace(res.Text) != `"hello"` {
		t.Errorf("got %+v", res)
	}
	out, err := r.TestEntity(t.Context(), r.mine, got.EntityID)
	check(t, err)
	if out.Outcome != abi.AuthOutcomeOk {
		t.Errorf("got %+v", out)
	}
}

func TestAuthorize_OneAuthorisationMayOpenSeveralAccounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.vendor.account = map[string]any{"orgs": []any{
		map[string]any{"id": "o1", "kind": "org", "title": "One"},
		map[string]any{"id": "o2", "kind": "org", "title": "Two"},
		map[string]any{"id": "o1", "kind": "team", "title": "Team"},
		map[string]any{"id": "o1", "kind": "org", "title": "One again"},
	}}
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.Auth.Identify = &abi.Identify{Request: &abi.RequestTemplate{URL: "/me"}, List: "/orgs", ExternalID: "/id", SubType: "/kind", Name: "/title"}
	}))
	got := r.connect()
	var names []string
	for _, e := range got.Entities {
		names = append(names, e.Name)
	}
	if diff := cmp.Diff([]string{"One", "Two", "Team"}, names); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	check(t, r.DeauthorizeEntity(t.Context(), r.mine, got.Entities[0].ID))
	_, err := r.get(got.Entities[1].ID, "/things") // the credential is still needed
	check(t, err)
	if n := len(r.vendor.revokedTokens()); n != 0 {
		t.Errorf("%d tokens revoked while an account still needs them", n)
	}
}

func TestAuthorize_AgainKeepsTheEntityAndItsValues(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.connect()
	check(t, r.db.PutEntityValue(t.Context(), r.mine.Owner, first.EntityID, "k", json.RawMessage(`1`), 1000, r.clock.Now()))
	second := r.connect()
	if second.EntityID != first.EntityID || second.CredentialID == first.CredentialID {
		t.Errorf("first %+v, second %+v", first, second)
	}
	_, err := r.db.CredentialByID(t.Context(), r.mine.Owner, first.CredentialID)
	wants(t, err, fault.NotFound, fault.Caller)
	if n := len(r.vendor.revokedTokens()); n != 0 {
		t.Error("the old tokens were revoked: vendors that see one grant would end the new ones too")
	}
	_, err = r.get(first.EntityID, "/things")
	check(t, err)
}

func TestAuthorize_KeepsWhatTheManifestWants(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.vendor.shape = func(w http.ResponseWriter, a tokenAnswer) {
		writeJSON(w, 200, map[string]any{"access_token": a.access, "refresh_token": a.refresh, "expires_in": 3600, "api_domain": "eu1", "bot": map[string]any{"bot_token": "plant-bot"}, "copy": a.access})
	}
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.Auth.Keep = []abi.Keep{
			{Name: "domain", From: "/api_domain"},
			{Name: "realm", From: "callback:realmId"},
			{Name: "bot", From: "/bot/bot_token"},
			{Name: "copy", From: "/copy"},
			{Name: "absent", From: "/absent", Optional: true},
		}
		m.Auth.Identify = nil
	}), abi.ExportIdentifyAccount)
	var told abi.IdentifyInput
	r.guest.on(abi.ExportIdentifyAccount, identifyAs(&told, "7"))
	data := r.callback()
	_, err := r.Authorize(t.Context(), r.mine, "crm", data)
	wants(t, err, fault.Invalid, fault.Remote)
	says(t, err, `"realmId"`)
	data = r.callback()
	data["realmId"], data["id_token"] = "realm 1", "plant-id"
	_, err = r.Authorize(t.Context(), r.mine, "crm", data)
	check(t, err)
	if diff := cmp.Diff(map[string]string{"domain": "eu1", "realm": "realm 1"}, told.Connection.Values); diff != "" {
		t.Errorf("what the guest is told: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"realmId": "realm 1", "iss": r.vendor.URL}, told.Callback); diff != "" {
		t.Errorf("what the guest is told: -want +got:\n%s", diff)
	}
}
