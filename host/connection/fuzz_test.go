package connection_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
)

func FuzzTokenAnswer(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"abcd","refresh_token":"efgh","expires_in":3600,"scope":"a","api_domain":"x"}`, `access_token=abcd&expires_in=60`,
		`{"error":"invalid_grant","error_description":"x"}`, `{"error":{}}`, `{"access_token":{"a":1}}`, `{"access_token":"abcd","expires_in":"1e309"}`,
		`{"access_token":"abcd","expires_in":-5}`, `{"access_token":"abcd","api_domain":"abcd"}`, `[]`, ``, `{`, "\xff", `{"error":"a\u0000b"}`, `%`, `;`,
		`{"access_token":"abcd","expires_in":9007199254740993}`, `{"access_token":"abcd"}{}`,
	} {
		f.Add(200, body)
		f.Add(400, body)
	}
	f.Add(503, "")
	m := (&vendor{}).manifest()
	m.Auth.Keep = []abi.Keep{{Name: "domain", From: "/api_domain", Optional: true}, {Name: "some_token", From: "/some_token", Optional: true}}
	now := newClock().Now()
	f.Fuzz(func(t *testing.T, status int, body string) {
		hidden, visible, expires, renew, err := connection.ReadTokenAnswer(m, status, []byte(body), now)
		if err != nil {
			var known *fault.Error
			if !errors.As(err, &known) || known.Op == "" {
				t.Fatalf("not a fault: %v", err)
			}
			checkMessage(t, fault.PublicMessage(err))
			return
		}
		if hidden["access_token"] == "" {
			t.Fatal("no access token")
		}
		if !expires.IsZero() && (expires.Before(now) || expires.Sub(now) > 11*365*24*time.Hour || renew.After(expires) || renew.Before(now)) {
			t.Errorf("lives from %s to %s, renewed at %s", now, expires, renew)
		}
		for name, text := range visible {
			for _, token := range hidden {
				if len(token) > 3 && strings.Contains(text, token) {
					t.Errorf("%s shows a token: %q", name, text)
				}
			}
		}
	})
}

func checkMessage(t *testing.T, msg string) {
	t.Helper()
	if len(msg) > 2000 || !utf8.ValidString(msg) || strings.ContainsFunc(msg, unicode.IsControl) {
		t.Errorf("the message %q cannot be shown", msg)
	}
}

func FuzzCallback(f *testing.F) {
	for _, data := range []string{
		`{"code":"c","state":"s"}`, `{"error":"access_denied","state":"s"}`, `{"state":"s"}`, `{"code":1,"state":["s"]}`, `{}`, `null`,
		`{"code":"c","state":"` + strings.Repeat("s", 43) + `","iss":"x"}`, `{"state":"\u0000","code":"c"}`, `{"":"","state":"s","error":"\n"}`,
	} {
		f.Add(data)
	}
	r := newRig(f)
	f.Fuzz(func(t *testing.T, text string) {
		var data map[string]any
		if json.Unmarshal([]byte(text), &data) != nil {
			return
		}
		_, err := r.Authorize(t.Context(), r.mine, "crm", data)
		if err == nil {
			t.Fatal("a made-up callback connects an account")
		}
		if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge {
			t.Errorf("got %v", err)
		}
		checkMessage(t, fault.PublicMessage(err))
	})
}
