package demo_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/demo"
)

// local is a CRM without a socket and a token for it.
func local(f *testing.F) (*demo.CRM, string) {
	f.Helper()
	v := start(f, unlimited())
	return v.crm, v.connect(everything).token
}

func serve(crm *demo.CRM, method, target, token, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost/", strings.NewReader(body))
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	r.Header = http.Header{"Authorization": {token}, "Content-Type": {contentType}}
	w := httptest.NewRecorder()
	crm.ServeHTTP(w, r)
	return w
}

func FuzzCursor(f *testing.F) {
	crm, token := local(f)
	for _, seed := range []string{"", "MTIzLmNvbl8x", "LTkyMjMzNzIwMzY4NTQ3NzU4MDguYQ", "%", "YQ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		w := serve(crm, "GET", "/api/v1/contacts?cursor="+url.QueryEscape(cursor), "Bearer "+token, "", "")
		if w.Code != 200 && w.Code != 400 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzContactPatch(f *testing.F) {
	crm, token := local(f)
	w := serve(crm, "POST", "/api/v1/contacts", "Bearer "+token, "application/json", `{"name":"A"}`)
	_, id, _ := strings.Cut(w.Body.String(), `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	for _, seed := range []string{`{"name":"B"}`, `{"name":null}`, `{"email":"a@example.com"}`, `[]`, `{"name":"\ud800"}`, `{"":0}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := serve(crm, "PATCH", "/api/v1/contacts/"+id, "Bearer "+token, "application/json", body)
		switch w.Code {
		case 200, 400, 413, 422:
		default:
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzTokenForm(f *testing.F) {
	crm, _ := local(f)
	for _, seed := range []string{"grant_type=refresh_token&refresh_token=tprt_.", "grant_type=authorization_code&code=tpcode_a.b", "%", "a=1&a=2"} {
		f.Add("Basic dGVzdCthcHA6eA==", seed)
	}
	f.Fuzz(func(t *testing.T, authorization, form string) {
		w := serve(crm, "POST", "/oauth/token", authorization, "application/x-www-form-urlencoded", form)
		if w.Code != 400 && w.Code != 401 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzAuthorize(f *testing.F) {
	crm, _ := local(f)
	good := url.Values{
		"client_id": {clientID}, "redirect_uri": {callback}, "response_type": {"code"}, "state": {"s"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
	f.Add(good.Encode())
	f.Add("client_id=%zz&scope=%00")
	f.Add(good.Encode() + "&%22%0a=1&%22%0a=2")
	f.Fuzz(func(t *testing.T, query string) {
		w := serve(crm, "GET", "/oauth/authorize?"+query, "", "", "")
		to := w.Header().Get("Location")
		if strings.ContainsAny(to, "\r\n") || to != "" && !strings.HasPrefix(to, "http://127.0.0.1:7/callback?") {
			t.Errorf("redirect to %q", to)
		}
		if body, _ := io.ReadAll(w.Body); strings.Contains(string(body), "<script") {
			t.Errorf("page: %s", body)
		}
	})
}
