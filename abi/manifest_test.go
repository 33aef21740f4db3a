package abi_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/abi/tck"
	"github.com/frigg-host/frigg-host/abi/vectors"
)

func TestManifests_PlayTheVectors(t *testing.T) {
	t.Parallel()
	tck.Manifests(t)
}

func TestDecodeManifest_BoundsSizeDepthAndProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text, want string
		most             int
	}{
		{"size", strings.Repeat(" ", abi.LimitManifestBytes+1), "at most 262144 are allowed", 1},
		{"encoding", "{\"name\":\"\xff\"}", "not UTF-8", 1},
		{"depth", `{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`, "nested more than 64 deep", 100},
		{"problems", "{" + strings.Repeat(`"a":1,`, 40000) + `"b":2}`, "twice", 100},
		{"long names", `{"` + strings.Repeat("x", 200000) + `":1}`, "not a field", 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := abi.DecodeManifest([]byte(c.text))
			e, ok := err.(*abi.ManifestError)
			if !ok || len(e.Problems) > c.most || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %.300v, want at most %d problems and %q", err, c.most, c.want)
			}
			if len(err.Error()) > 40_000 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestDecodeManifest_ListsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := abi.DecodeManifest([]byte(`{"abi":1,"kind":"integration","name":"A","version":"1","display":{"name":""}}`))
	var paths []string
	for _, p := range err.(*abi.ManifestError).Problems {
		paths = append(paths, p.Path)
	}
	if diff := cmp.Diff([]string{"name", "version", "display.name"}, paths); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(err.Error(), "manifest: 3 problems\n  name: ") {
		t.Errorf("got %q", err)
	}
}

// The strict decoder walks these kinds of types only; a new kind in the contract must be added there.
func TestManifestTypes_AreKnownToTheDecoder(t *testing.T) {
	t.Parallel()
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		if seen[typ] || typ == reflect.TypeFor[json.RawMessage]() {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.String, reflect.Bool, reflect.Int64:
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				walk(typ.Field(i).Type)
			}
		default:
			t.Errorf("%v is not checked", typ)
		}
	}
	walk(reflect.TypeFor[abi.Manifest]())
	if len(seen) < 30 {
		t.Errorf("only %d types looked at", len(seen))
	}
}

func TestManifestDefaults_FillsWhatIsLeftOutAndChangesNothingElse(t *testing.T) {
	t.Parallel()
	m := &abi.Manifest{
		Auth: &abi.Auth{Kind: abi.AuthKindOAuth2, OAuth2: &abi.OAuth2{
			TokenURL: "https://a/t", ScopeSeparator: ",",
			TokenResponse: &abi.TokenResponse{AccessToken: "/authed_user/access_token"},
		}},
		API:   &abi.API{RateLimit: &abi.RateLimit{Requests: 7}, Idempotency: &abi.Idempotency{Header: "K"}},
		Hooks: []abi.VendorHook{{Signature: &abi.Signature{Header: "S", Hash: abi.SignatureHashSha1}}},
	}
	before, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := abi.ManifestDefaults(m)
	want := &abi.OAuth2{
		Grant: "authorization_code", TokenURL: "https://a/t", ClientID: "{{settings.client_id}}",
		ClientSecret: "{{settings.client_secret}}", ClientAuth: "basic", ScopeSeparator: ",", PKCE: "S256", TokenMethod: "POST",
		TokenBody: "form", Refresh: &abi.RefreshPolicy{MarginS: 60},
		TokenResponse: &abi.TokenResponse{
			AccessToken: "/authed_user/access_token", RefreshToken: "/refresh_token",
			ExpiresIn: "/expires_in", Scope: "/scope", IDToken: "/id_token", Error: "/error", ErrorDescription: "/error_description",
		},
	}
	if diff := cmp.Diff(want, d.Auth.OAuth2); diff != "" {
		t.Error(diff)
	}
	if got := d.Auth.Apply[0].Value; got != "Bearer {{credential.access_token}}" {
		t.Errorf("apply is %q", got)
	}
	if d.API.RateLimit.Burst != 7 || len(d.API.Idempotency.Methods) != 2 || d.API.TimeoutMS != 30000 || d.Limits.TimeoutMS != abi.LimitTimeoutMS {
		t.Errorf("api or limits lack defaults: %+v %+v", d.API, d.Limits)
	}
	if s := d.Hooks[0].Signature; s.Hash != abi.SignatureHashSha1 || s.Payload != "{body}" || s.ToleranceS != 300 {
		t.Errorf("signature lacks defaults: %+v", s)
	}
	after, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the original changed")
	}
}

func FuzzDecodeManifest(f *testing.F) {
	var v struct {
		Bases             map[string]json.RawMessage
		Refused, Accepted []struct{ Text string }
	}
	text, err := vectors.Files.ReadFile("manifests.json")
	if err != nil {
		f.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		f.Fatal(err)
	}
	for _, base := range v.Bases {
		f.Add([]byte(base))
	}
	for _, c := range append(v.Refused, v.Accepted...) {
		f.Add([]byte(c.Text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := abi.DecodeManifest(data)
		if err != nil {
			if e, ok := err.(*abi.ManifestError); !ok || len(e.Problems) == 0 || len(e.Problems) > 100 {
				t.Fatalf("got %T %v", err, err)
			}
			return
		}
		again, err := json.Marshal(abi.ManifestDefaults(m))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := abi.DecodeManifest(again); err != nil && len(again) <= abi.LimitManifestBytes {
			t.Fatalf("accepted once, not with its defaults: %v\n%s", err, again)
		}
	})
}
