package connection_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// identifyAs is a guest that names accounts, after it has asked the vendor.
func identifyAs(told *abi.IdentifyInput, ids ...string) func(context.Context, plugin.Call) (any, error) {
	return func(ctx context.Context, c plugin.Call) (any, error) {
		if err := json.Unmarshal(c.Input, told); err != nil {
			return nil, err
		}
		if _, err := c.Can.HTTP.Send(ctx, abi.HTTPRequest{URL: "/things"}); err != nil {
			return nil, err
		}
		out := abi.IdentifyOutput{Accounts: []abi.Account{}}
		for _, id := range ids {
			out.Accounts = append(out.Accounts, abi.Account{ExternalID: id, Name: "Account " + id})
		}
		return out, nil
	}
}

func TestCallMethod_RunsTheGuestOnItsConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.manifest(), abi.ExportCallMethod)
	got := r.connect()
	h := secret.NewHandles()
	handle := h.Issue(secret.NewText("webhook-secret"))
	var lines []string
	r.guest.on(abi.ExportCallMethod, func(ctx context.Context, c plugin.Call) (any, error) {
		var in abi.MethodInput
		check(t, json.Unmarshal(c.Input, &in))
		want := abi.Connection{EntityID: string(got.EntityID), ExternalID: "7", Name: "Acme", Details: json.RawMessage(`{"email":"a@acme.example"}`)}
		if diff := cmp.Diff(want, in.Connection); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		c.Log("info", "working")
		res, err := c.Can.HTTP.Send(ctx, abi.HTTPRequest{Method: "POST", URL: "/hooks", Text: handle})
		if err != nil {
			return nil, err
		}
		put, err := c.Can.Storage.Put(ctx, abi.StoragePut{Key: "k", Value: json.RawMessage(`{"n":1}`)})
		if err != nil {
			return put, err
		}
		v, err := c.Can.Storage.Get(ctx, abi.StorageGet{Key: "k"})
		if err != nil {
			return nil, err
		}
		sig, err := c.Can.Crypto.HMACSign(ctx, abi.HMACSign{Secret: handle, Message: []byte("m")})
		if err != nil {
			return nil, err
		}
		value, _ := json.Marshal([]any{in.Method, in.Args, res.Status, v.Found, v.Value, sig.Signature})
		return abi.MethodOutput{Value: value}, nil
	})
	out, err := r.CallMethod(t.Context(), r.mine.Owner, got.EntityID, "list_things", json.RawMessage(`{"a":1}`),
		connection.CallOptions{Handles: h, Log: func(level, message string) { lines = append(lines, level+" "+message) }})
	check(t, err)
	mac := hmac.New(sha256.New, []byte("webhook-secret"))
	mac.Write([]byte("m"))
	want, _ := json.Marshal([]any{"list_things", json.RawMessage(`{"a":1}`), 200, true, json.RawMessage(`{"n":1}`), mac.Sum(nil)})
	if string(out) != string(want) {
		t.Errorf("got %s, want %s", out, want)
	}
	if _, body := r.vendor.lastCall(); body != "webhook-secret" {
		t.Errorf("the vendor got %q", body)
	}
	if diff := cmp.Diff([]string{"info crm: working"}, lines); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCallMethod_RefusesWhatTheModuleDoesNotDeclare(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.manifest(), abi.ExportCallMethod)
	e := r.connect().EntityID
	_, err := r.CallMethod(t.Context(), r.mine.Owner, e, "delete_everything", nil, connection.CallOptions{})
	wants(t, err, fault.Invalid, fault.Guest)
	r.guest.on(abi.ExportCallMethod, func(context.Context, plugin.Call) (any, error) {
		return nil, &fault.Error{Kind: fault.Conflict, Side: fault.Remote, Op: "guest", Msg: "there is one already", Err: &plugin.Status{Code: 409}}
	})
	_, err = r.CallMethod(t.Context(), r.mine.Owner, e, "list_things", nil, connection.CallOptions{})
	wants(t, err, fault.Conflict, fault.Remote)
	says(t, err, "there is one already")
}

func TestCallMethod_GivesOnlyWhatTheManifestClaims(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) { m.Capabilities = nil }), abi.ExportCallMethod)
	e := r.connect().EntityID
	r.guest.on(abi.ExportCallMethod, func(_ context.Context, c plugin.Call) (any, error) {
		if c.Can.HTTP != nil || c.Can.Storage != nil || c.Can.Crypto != nil || c.Can.Module != nil {
			t.Errorf("the guest can %+v", c.Can)
		}
		return abi.MethodOutput{}, nil
	})
	_, err := r.CallMethod(t.Context(), r.mine.Owner, e, "list_things", nil, connection.CallOptions{})
	check(t, err)
}

func TestCallMethod_SeesATokenThatWasRenewedDuringTheCall(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.manifest(), abi.ExportCallMethod)
	e := r.connect().EntityID
	r.guest.on(abi.ExportCallMethod, func(ctx context.Context, c plugin.Call) (any, error) {
		for range 3 {
			if _, err := c.Can.HTTP.Send(ctx, abi.HTTPRequest{URL: "/things"}); err != nil {
				return nil, err
			}
			r.clock.advance(2 * time.Hour)
		}
		return abi.MethodOutput{}, nil
	})
	_, err := r.CallMethod(t.Context(), r.mine.Owner, e, "list_things", nil, connection.CallOptions{})
	check(t, err)
	if n := r.vendor.grants("refresh_token"); n != 2 {
		t.Errorf("%d refreshes, want 2", n)
	}
}

func TestStorage_HasLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.manifest(), abi.ExportCallMethod)
	e := r.connect().EntityID
	r.guest.on(abi.ExportCallMethod, func(ctx context.Context, c plugin.Call) (any, error) {
		s := c.Can.Storage
		put := func(key, value string) error {
			_, err := s.Put(ctx, abi.StoragePut{Key: key, Value: json.RawMessage(value)})
			return err
		}
		for name, test := range map[string]struct {
			err  error
			kind fault.Kind
		}{
			"good":           {put("k", `"v"`), ""},
			"longest key":    {put(strings.Repeat("k", 512), `1`), ""},
			"long key":       {put(strings.Repeat("k", 513), `1`), fault.Invalid},
			"no key":         {put("", `1`), fault.Invalid},
			"key with NUL":   {put("a\x00b", `1`), fault.Invalid},
			"key not UTF-8":  {put("a\xff", `1`), fault.Invalid},
			"no value":       {put("k", ``), fault.Invalid},
			"not JSON":       {put("k", `{`), fault.Invalid},
			"largest value":  {put("k", `"`+strings.Repeat("x", 256<<10-2)+`"`), ""},
			"large value":    {put("k", `"`+strings.Repeat("x", 256<<10-1)+`"`), fault.TooLarge},
			"long prefix":    {list(ctx, s, abi.StorageList{Prefix: strings.Repeat("k", 513)}), fault.Invalid},
			"negative limit": {list(ctx, s, abi.StorageList{Limit: -1}), fault.Invalid},
			"high limit":     {list(ctx, s, abi.StorageList{Limit: 1001}), fault.Invalid},
		} {
			if fault.KindOf(test.err) != test.kind {
				t.Errorf("%s: got %v, want %q", name, test.err, test.kind)
			}
		}
		keys, err := s.List(ctx, abi.StorageList{Limit: 1})
		if err != nil || len(keys.Keys) != 1 || !keys.More {
			t.Errorf("got %+v, %v", keys, err)
		}
		if _, err := s.Delete(ctx, abi.StorageDelete{Key: "nothing"}); err != nil {
			t.Error(err)
		}
		v, err := s.Get(ctx, abi.StorageGet{Key: "nothing"})
		if err != nil || v.Found {
			t.Errorf("got %+v, %v", v, err)
		}
		return abi.MethodOutput{}, nil
	})
	_, err := r.CallMethod(t.Context(), r.mine.Owner, e, "list_things", nil, connection.CallOptions{})
	check(t, err)
}

func list(ctx context.Context, s plugin.StorageCapability, q abi.StorageList) error {
	_, err := s.List(ctx, q)
	return err
}

func TestCrypto_WorksOnlyOverKnownHandles(t *testing.T) {
	t.Parallel()
	h := secret.NewHandles()
	handle := h.Issue(secret.NewText("key"))
	c := connection.NewCrypto(h)
	for algorithm, size := range map[abi.HashAlgorithm]int{"": 32, abi.HashAlgorithmSha256: 32, abi.HashAlgorithmSha1: 20, abi.HashAlgorithmSha512: 64} {
		sig, err := c.HMACSign(t.Context(), abi.HMACSign{Secret: handle, Hash: algorithm, Message: []byte("m")})
		if err != nil || len(sig.Signature) != size {
			t.Errorf("%s: %d bytes, %v", algorithm, len(sig.Signature), err)
		}
		for _, v := range []struct {
			message string
			want    bool
		}{{"m", true}, {"n", false}} {
			got, err := c.HMACVerify(t.Context(), abi.HMACVerify{Secret: handle, Hash: algorithm, Message: []byte(v.message), Signature: sig.Signature})
			if err != nil || got.Valid != v.want {
				t.Errorf("%s %s: got %v, %v", algorithm, v.message, got.Valid, err)
			}
		}
	}
	for name, q := range map[string]abi.HMACSign{
		"other hash":    {Secret: handle, Hash: "md5"},
		"not a handle":  {Secret: "key"},
		"other handles": {Secret: secret.NewHandles().Issue(secret.NewText("key"))},
	} {
		_, err := c.HMACSign(t.Context(), q)
		wants(t, err, fault.Invalid, fault.Guest)
		t.Log(name)
	}
	if _, err := connection.NewCrypto(nil).HMACVerify(t.Context(), abi.HMACVerify{Secret: handle}); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

func TestIdentify_RefusesAccountsThatCannotBeKept(t *testing.T) {
	t.Parallel()
	for name, accounts := range map[string][]abi.Account{
		"no id":             {{Name: "x"}},
		"long id":           {{ExternalID: strings.Repeat("x", 513)}},
		"odd details":       {{ExternalID: "1", Details: json.RawMessage(`[1]`)}},
		"large details":     {{ExternalID: "1", Details: json.RawMessage(`{"x":"` + strings.Repeat("x", 65<<10) + `"}`)}},
		"too many":          make([]abi.Account, 201),
		"the key":           {{ExternalID: "id-of-plant-7f3a"}},
		"key in details":    {{ExternalID: "1", Details: json.RawMessage(`{"k":"plant-7f3a"}`)}},
		"what was scrubbed": {{ExternalID: "[secret]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.vendor.changed(func(m *abi.Manifest) { apiKey(m); m.Auth.Identify, m.Auth.Test = nil, nil }), abi.ExportIdentifyAccount)
			r.guest.on(abi.ExportIdentifyAccount, func(context.Context, plugin.Call) (any, error) { return abi.IdentifyOutput{Accounts: accounts}, nil })
			_, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"api_key": "plant-7f3a"})
			wants(t, err, fault.Internal, fault.Guest)
			if strings.Contains(fault.PublicMessage(err), "plant") {
				t.Errorf("%v repeats the key", err)
			}
			r.nothing()
		})
	}
}

func TestIdentify_SaysWhatIsMissingInTheAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		account  any
		identify abi.Identify
		says     string
	}{
		"no id":   {map[string]any{}, abi.Identify{ExternalID: "/id"}, "no account id at /id"},
		"null":    {map[string]any{"id": nil}, abi.Identify{ExternalID: "/id"}, "no account id at /id"},
		"no list": {map[string]any{"id": 1}, abi.Identify{ExternalID: "/id", List: "/orgs"}, "no list at /orgs"},
	} {
		r := newRig(t)
		r.vendor.account = test.account
		test.identify.Request = &abi.RequestTemplate{URL: "/me"}
		r.install(r.vendor.changed(func(m *abi.Manifest) { m.Auth.Identify = &test.identify }))
		_, err := r.Authorize(t.Context(), r.mine, "crm", r.callback())
		wants(t, err, fault.Unavailable, fault.Remote)
		says(t, err, test.says)
		t.Log(name)
	}
}

func TestIdentify_ReadsTheTokenAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pointer string
		want    string // "" is refused
	}{"id": {"/team/id", "T1"}, "the token itself": {"/access_token", ""}} {
		r := newRig(t)
		r.vendor.shape = func(w http.ResponseWriter, a tokenAnswer) {
			writeJSON(w, 200, map[string]any{"access_token": a.access, "team": map[string]any{"id": "T1", "name": "Team"}})
		}
		r.install(r.vendor.changed(func(m *abi.Manifest) { m.Auth.Identify = &abi.Identify{ExternalID: test.pointer, Name: "/team/name"} }))
		got, err := r.Authorize(t.Context(), r.mine, "crm", r.callback())
		if test.want == "" {
			wants(t, err, fault.Internal, fault.Guest)
			r.nothing()
			continue
		}
		check(t, err)
		if e := got.Entities[0]; e.ExternalID != test.want || e.Name != "Team" {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}

func TestChoose_ThePersonPicksAnAccount(t *testing.T) {
	t.Parallel()
	for name, rig := range map[string]func(r *rig){
		"by data": func(r *rig) {
			r.vendor.account = []any{map[string]any{"id": "o1", "name": "One"}, map[string]any{"id": "o2"}}
			r.install(r.vendor.changed(func(m *abi.Manifest) {
				m.Auth.ChooseEntity = true
				m.Auth.Identify = &abi.Identify{Request: &abi.RequestTemplate{URL: "/me"}, List: "", ExternalID: "/id", Name: "/name"}
				m.Auth.Identify.List = "/orgs"
			}))
			r.vendor.account = map[string]any{"orgs": r.vendor.account}
		},
		"by guest": func(r *rig) {
			r.install(r.vendor.changed(func(m *abi.Manifest) { m.Auth.Identify = nil; m.Auth.ChooseEntity = true }), abi.ExportEntityForm)
			r.guest.on(abi.ExportEntityForm, func(ctx context.Context, c plugin.Call) (any, error) {
				if _, err := c.Can.HTTP.Send(ctx, abi.HTTPRequest{URL: "/things"}); err != nil {
					return nil, err
				}
				return abi.Form{JSONSchema: json.RawMessage(`{"type":"object","required":["external_id"],"properties":{
					"external_id":{"type":"string","oneOf":[{"const":"o1","title":"One"},{"const":"o2","title":"Two"}]},"name":{"type":"string"},"region":{"type":"string"}}}`)}, nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			rig(r)
			got, err := r.Authorize(t.Context(), r.mine, "crm", r.callback())
			check(t, err)
			if got.CredentialID == "" || got.EntityID != "" {
				t.Fatalf("got %+v", got)
			}
			r.clock.advance(2 * time.Hour) // the person takes a long time
			form, err := r.CredentialForm(t.Context(), r.mine, got.CredentialID)
			check(t, err)
			if !strings.Contains(string(form.JSONSchema), `"o2"`) {
				t.Errorf("got %s", form.JSONSchema)
			}
			for _, bad := range []map[string]any{
				{},
				{"credential_id": string(got.CredentialID)},
				{"credential_id": string(got.CredentialID), "external_id": "o3"},
				{"credential_id": 7, "external_id": "o1"},
			} {
				_, err = r.CreateEntity(t.Context(), r.mine, "crm", bad)
				wants(t, err, fault.Invalid, fault.Caller)
			}
			data := map[string]any{"credential_id": string(got.CredentialID), "external_id": "o1", "name": "One", "region": "eu"}
			e, err := r.CreateEntity(t.Context(), r.mine, "crm", data)
			check(t, err)
			again, err := r.CreateEntity(t.Context(), r.mine, "crm", data)
			check(t, err)
			if e.ExternalID != "o1" || e.Name != "One" || again.ID != e.ID {
				t.Errorf("got %+v, then %+v", e, again)
			}
			if name == "by guest" && string(e.Details) != `{"region":"eu"}` {
				t.Errorf("details %s", e.Details)
			}
			_, err = r.get(e.ID, "/things")
			check(t, err)
		})
	}
}

func TestEntityForm_ComesFromTheGuest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	_, err := r.EntityForm(t.Context(), r.mine, e, nil)
	wants(t, err, fault.Unsupported, fault.Host)
	r.install(r.vendor.manifest(), abi.ExportEntityForm, abi.ExportRefreshEntityForm)
	r.guest.on(abi.ExportRefreshEntityForm, func(_ context.Context, c plugin.Call) (any, error) {
		var in abi.EntityFormInput
		check(t, json.Unmarshal(c.Input, &in))
		return abi.Form{JSONSchema: in.Input}, nil
	})
	f, err := r.RefreshEntityForm(t.Context(), r.mine, e, json.RawMessage(`{"type":"object"}`))
	check(t, err)
	if string(f.JSONSchema) != `{"type":"object"}` {
		t.Errorf("got %s", f.JSONSchema)
	}
	r.guest.on(abi.ExportEntityForm, func(context.Context, plugin.Call) (any, error) {
		return abi.Form{JSONSchema: json.RawMessage(`"` + strings.Repeat("x", 2<<20) + `"`)}, nil
	})
	_, err = r.EntityForm(t.Context(), r.mine, e, nil)
	wants(t, err, fault.TooLarge, fault.Guest)
}

func TestEntityForm_PasswordsReachTheGuestAsHandles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.install(r.vendor.manifest(), abi.ExportEntityForm, abi.ExportRefreshEntityForm)
	grown := json.RawMessage(`{"type":"object","properties":{"team":{"type":"string"},"box":{"properties":{"pin":{"type":"string","format":"password"}}}}}`)
	r.guest.on(abi.ExportEntityForm, func(context.Context, plugin.Call) (any, error) {
		return abi.Form{JSONSchema: json.RawMessage(`{"type":"object","properties":{"team":{"type":"string"}}}`)}, nil
	})
	var last string
	r.guest.on(abi.ExportRefreshEntityForm, func(_ context.Context, c plugin.Call) (any, error) {
		var in abi.EntityFormInput
		check(t, json.Unmarshal(c.Input, &in))
		last = string(in.Input)
		if strings.Contains(string(c.Input), "plant-7f3a") {
			t.Errorf("the guest reads %s", in.Input)
		}
		return abi.Form{JSONSchema: grown}, nil
	})
	f, err := r.RefreshEntityForm(t.Context(), r.mine, e, json.RawMessage(`{"team":"red","box":{"pin":"plant-7f3a"}}`))
	check(t, err)
	if string(f.JSONSchema) != string(grown) {
		t.Errorf("got %s", f.JSONSchema)
	}
	if !secret.HasHandle(last) || !strings.Contains(last, `"team":"red"`) {
		t.Errorf("the guest last read %s", last)
	}
	_, err = r.RefreshEntityForm(t.Context(), r.mine, e, json.RawMessage(`["plant-7f3a"]`))
	wants(t, err, fault.Invalid, fault.Caller)
}

func TestTestEntity_HasThreeOutcomes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   any
		want   abi.AuthOutcome
		now    connection.Status
	}{
		"ok":               {200, map[string]any{}, abi.AuthOutcomeOk, connection.OK},
		"no content":       {204, nil, abi.AuthOutcomeOk, connection.OK},
		"401":              {401, nil, abi.AuthOutcomeInvalid, connection.Invalid},
		"403":              {403, nil, abi.AuthOutcomeInvalid, connection.Invalid},
		"invalid in spite": {200, map[string]any{"ok": false}, abi.AuthOutcomeInvalid, connection.Invalid},
		"500":              {500, nil, abi.AuthOutcomeUnavailable, connection.OK},
		"429":              {429, nil, abi.AuthOutcomeUnavailable, connection.OK},
		"404":              {404, nil, abi.AuthOutcomeUnavailable, connection.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.vendor.changed(func(m *abi.Manifest) {
				m.Auth.Test = &abi.Probe{Request: abi.RequestTemplate{URL: "/probe"}, InvalidWhen: []abi.Predicate{{Pointer: "/ok", Equals: "false"}}}
			}))
			got := r.connect()
			r.vendor.handle("/api/probe", func(w http.ResponseWriter, _ *http.Request) {
				if test.body == nil {
					w.WriteHeader(test.status)
					return
				}
				writeJSON(w, test.status, test.body)
			})
			out, err := r.TestEntity(t.Context(), r.mine, got.EntityID)
			check(t, err)
			if c := r.credential(got.CredentialID); out.Outcome != test.want || c.Status != test.now {
				t.Errorf("got %+v and the credential is %s", out, c.Status)
			}
		})
	}
}

func TestTestEntity_AsksTheGuestWhenThereIsNoData(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		out  abi.TestAuthOutput
		err  error
		want abi.AuthOutcome // "" is an error
	}{
		"ok":              {out: abi.TestAuthOutput{Outcome: abi.AuthOutcomeOk}, want: abi.AuthOutcomeOk},
		"invalid":         {out: abi.TestAuthOutput{Outcome: abi.AuthOutcomeInvalid, Message: "no"}, want: abi.AuthOutcomeInvalid},
		"odd":             {out: abi.TestAuthOutput{Outcome: "perhaps"}},
		"vendor says no":  {err: &fault.Error{Kind: fault.Unauthorized, Side: fault.Remote}, want: abi.AuthOutcomeInvalid},
		"vendor is down":  {err: &fault.Error{Kind: fault.Unavailable, Side: fault.Remote}, want: abi.AuthOutcomeUnavailable},
		"guest is broken": {err: &fault.Error{Kind: fault.Internal, Side: fault.Guest}},
	} {
		r := newRig(t)
		r.install(r.vendor.changed(func(m *abi.Manifest) { m.Auth.Test = nil }), abi.ExportTestAuth)
		got := r.connect()
		r.guest.on(abi.ExportTestAuth, func(context.Context, plugin.Call) (any, error) { return test.out, test.err })
		out, err := r.TestEntity(t.Context(), r.mine, got.EntityID)
		if (err == nil) != (test.want != "") || test.want != "" && out.Outcome != test.want {
			t.Errorf("%s: got %+v, %v", name, out, err)
		}
	}
}

func TestDeauthorize_RemovesAndRevokes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, act := range map[string]func(connection.Authorization) error{
		"entity": func(a connection.Authorization) error { return r.DeauthorizeEntity(t.Context(), r.mine, a.EntityID) },
		"credential": func(a connection.Authorization) error {
			return r.DeauthorizeCredential(t.Context(), r.mine, a.CredentialID)
		},
	} {
		before := len(r.vendor.revokedTokens())
		got := r.connect()
		check(t, act(got))
		_, err := r.get(got.EntityID, "/things")
		wants(t, err, fault.NotFound, fault.Caller)
		revoked := r.vendor.revokedTokens()
		if len(revoked) != before+1 || !strings.HasPrefix(revoked[before], "refresh-") {
			t.Errorf("%s: revoked %q", name, revoked)
		}
		wants(t, act(got), fault.NotFound, fault.Caller)
	}
}

func TestDeauthorize_WorksWhenTheVendorOrModuleIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.connect()
	r.vendor.Close()
	check(t, r.DeauthorizeEntity(t.Context(), r.mine, got.EntityID))
	r.nothing()
}

func TestConnected_IsToldAfterwards(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var told []connection.EntityID
	r.told = func(id connection.EntityID) { told = append(told, id) }
	got := r.connect()
	if diff := cmp.Diff([]connection.EntityID{got.EntityID}, told); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
