package connection_test

import (
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// send sends on an entity with handles that the guest has.
func (r *rig) send(id connection.EntityID, q abi.HTTPRequest, h *secret.Handles) (abi.HTTPResponse, error) {
	return r.Send(r.t.Context(), r.mine.Owner, id, q, connection.CallOptions{Handles: h})
}

func TestSend_JoinsThePathToTheBaseURL(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	for raw, want := range map[string]string{
		"/things":                 "/api/things ",
		"things":                  "/api/things ",
		"":                        "/api ",
		"?a=1":                    "/api a=1",
		"/a%2Fb/c%20d":            "/api/a%2Fb/c%20d ",
		"/odata/Items('x')":       "/api/odata/Items('x') ",
		"/x?$filter=a%20eq%20'b'": "/api/x $filter=a%20eq%20'b'",
		"/x?next=https://other/":  "/api/x next=https://other/",
		"/x#part":                 "/api/x ",
		"/v1.2/...":               "/api/v1.2/... ",
		"/customers/a:deactivate": "/api/customers/a:deactivate ",
		r.vendor.URL + "/abs":     "/abs ",
	} {
		_, err := r.get(e, raw)
		check(t, err)
		call, _ := r.vendor.lastCall()
		if got := call.URL.EscapedPath() + " " + call.URL.RawQuery; got != want {
			t.Errorf("%q arrives as %q, want %q", raw, got, want)
		}
	}
	_, err := r.send(e, abi.HTTPRequest{URL: "/x?a=0", Query: map[string][]string{"b[]": {"1", "2 &"}, "a": {"3"}}}, nil)
	check(t, err)
	call, _ := r.vendor.lastCall()
	if call.URL.RawQuery != "a=0&a=3&b%5B%5D=1&b%5B%5D=2+%26" {
		t.Errorf("query %q", call.URL.RawQuery)
	}
}

func TestSend_RefusesRequestsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	before := r.vendor.callCount()
	for name, test := range map[string]struct {
		q    abi.HTTPRequest
		kind fault.Kind
	}{
		"walks upwards":          {abi.HTTPRequest{URL: "/../token"}, fault.Invalid},
		"walks upwards, escaped": {abi.HTTPRequest{URL: "/%2e%2E/token"}, fault.Invalid},
		"walks behind a slash":   {abi.HTTPRequest{URL: "/a%2f..%2f..%2ftoken"}, fault.Invalid},
		"walks with parameters":  {abi.HTTPRequest{URL: "/..;/token"}, fault.Invalid},
		"bad escape":             {abi.HTTPRequest{URL: "/%zz"}, fault.Invalid},
		"backslash":              {abi.HTTPRequest{URL: `\\evil.example`}, fault.Invalid},
		"other scheme":           {abi.HTTPRequest{URL: "file:///etc/passwd"}, fault.Invalid},
		"without a scheme":       {abi.HTTPRequest{URL: "//evil.example/x"}, fault.Invalid},
		"other host":             {abi.HTTPRequest{URL: "https://evil.example/"}, fault.Forbidden},
		"user in the URL":        {abi.HTTPRequest{URL: "https://127.0.0.1@evil.example/"}, fault.Invalid},
		"two bodies":             {abi.HTTPRequest{Method: "POST", URL: "/x", JSON: json.RawMessage(`1`), Text: "x"}, fault.Invalid},
		"authorization":          {abi.HTTPRequest{URL: "/x", Headers: map[string]string{"authorization": "Bearer x"}}, fault.Invalid},
		"cookie":                 {abi.HTTPRequest{URL: "/x", Headers: map[string]string{"Cookie": "a=b"}}, fault.Invalid},
		"framing":                {abi.HTTPRequest{URL: "/x", Headers: map[string]string{"Host": "evil.example"}}, fault.Invalid},
		"split header":           {abi.HTTPRequest{URL: "/x", Headers: map[string]string{"X-A": "1\r\nX-B: 2"}}, fault.Invalid},
		"method":                 {abi.HTTPRequest{Method: "GE T", URL: "/x"}, fault.Invalid},
		"tunnel":                 {abi.HTTPRequest{Method: "CONNECT", URL: "/x"}, fault.Invalid},
		"stream":                 {abi.HTTPRequest{URL: "/x", Stream: 1}, fault.Unsupported},
		"streamed answer":        {abi.HTTPRequest{URL: "/x", StreamResponse: true}, fault.Unsupported},
		"split part":             {abi.HTTPRequest{Method: "POST", URL: "/x", Parts: []abi.Part{{Name: "a\r\nX: y"}}}, fault.Invalid},
	} {
		_, err := r.send(e, test.q, nil)
		if !fault.Is(err, test.kind) || fault.SideOf(err) != fault.Guest {
			t.Errorf("%s: got %v on side %s, want %s on side guest", name, err, fault.SideOf(err), test.kind)
		}
	}
	if n := r.vendor.callCount() - before; n != 0 {
		t.Errorf("%d requests reached the vendor", n)
	}
}

func TestSend_WritesEveryKindOfBody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	for name, test := range map[string]struct {
		q                 abi.HTTPRequest
		contentType, body string
	}{
		"json":        {abi.HTTPRequest{JSON: json.RawMessage(`{"a":1}`)}, "application/json", `{"a":1}`},
		"vendor json": {abi.HTTPRequest{JSON: json.RawMessage(`[]`), Headers: map[string]string{"content-type": "application/vnd.api+json"}}, "application/vnd.api+json", `[]`},
		"form": {
			abi.HTTPRequest{Form: []abi.Pair{{Name: "metadata[issue]", Value: "7 &"}, {Name: "a", Value: "2"}, {Name: "a", Value: "1"}}},
			"application/x-www-form-urlencoded", "metadata%5Bissue%5D=7+%26&a=2&a=1",
		},
		"empty form": {abi.HTTPRequest{Form: []abi.Pair{}}, "application/x-www-form-urlencoded", ""},
		"text":       {abi.HTTPRequest{Text: "hello"}, "text/plain; charset=utf-8", "hello"},
		"xml":        {abi.HTTPRequest{Text: "<a/>", Headers: map[string]string{"Content-Type": "text/xml"}}, "text/xml", "<a/>"},
		"bytes":      {abi.HTTPRequest{Bytes: []byte{0, 255}}, "application/octet-stream", "\x00\xff"},
		"none":       {abi.HTTPRequest{}, "", ""},
	} {
		test.q.Method, test.q.URL = "POST", "/x"
		_, err := r.send(e, test.q, nil)
		check(t, err)
		call, body := r.vendor.lastCall()
		if got := call.Header.Get("Content-Type"); got != test.contentType || body != test.body {
			t.Errorf("%s: %q %q, want %q %q", name, got, body, test.contentType, test.body)
		}
	}
}

func TestSend_WritesParts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	_, err := r.send(e, abi.HTTPRequest{
		Method: "POST", URL: "/x", Headers: map[string]string{"Content-Type": "multipart/form-data; boundary=mine"},
		Parts: []abi.Part{{Name: `a"b`, Text: "text"}, {Name: "f", FileName: "ü.png", ContentType: "image/png", Bytes: []byte{1, 2}}},
	}, nil)
	check(t, err)
	call, body := r.vendor.lastCall()
	_, boundary, _ := strings.Cut(call.Header.Get("Content-Type"), "boundary=")
	form, err := multipart.NewReader(strings.NewReader(body), boundary).ReadForm(1 << 20)
	check(t, err)
	file, err := form.File["f"][0].Open()
	check(t, err)
	content, err := io.ReadAll(file)
	check(t, err)
	if form.Value[`a"b`][0] != "text" || form.File["f"][0].Filename != "ü.png" || string(content) != "\x01\x02" {
		t.Errorf("got %+v", form)
	}
}

func TestSend_SaysWhatAStatusMeans(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	for status, want := range map[int]fault.Kind{
		400: fault.Invalid, 403: fault.Forbidden, 404: fault.NotFound, 409: fault.Conflict,
		413: fault.TooLarge, 422: fault.Invalid, 429: fault.RateLimited, 500: fault.Unavailable, 503: fault.Unavailable,
	} {
		r.vendor.handle("/api/status", func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, status, map[string]string{"message": "plan"})
		})
		_, err := r.get(e, "/status")
		wants(t, err, want, fault.Remote)
		var s *plugin.Status
		if !errors.As(err, &s) || s.Code != status {
			t.Errorf("%v carries no status %d", err, status)
		}
		if strings.Contains(fault.PublicMessage(err), "plan") {
			t.Errorf("%v repeats a text that the manifest does not point to", err)
		}
		res, err := r.send(e, abi.HTTPRequest{URL: "/status", RawStatus: true}, nil)
		if err != nil || res.Status != int64(status) || !strings.Contains(res.Text, "plan") {
			t.Errorf("raw: got %+v, %v", res, err)
		}
	}
}

func TestSend_FollowsTheManifestsFaultRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.API.Faults = []abi.FaultRule{
			{When: abi.Predicate{Pointer: "/error", Equals: "ratelimited"}, Kind: abi.FaultKindRateLimited},
			{When: abi.Predicate{Pointer: "/ok", Equals: "false"}, Kind: abi.FaultKindInvalid, Message: "/error"},
			{When: abi.Predicate{Status: 200, Pointer: "/errors/0/code", Equals: "601"}, Kind: abi.FaultKindUnauthorized},
			{When: abi.Predicate{Header: "X-Gone"}, Kind: abi.FaultKindNotFound},
		}
	}))
	got := r.connect()
	answer := map[string]any{}
	header := http.Header{}
	r.vendor.handle("/api/odd", func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			w.Header()[k] = v
		}
		writeJSON(w, 200, answer)
	})
	for name, test := range map[string]struct {
		answer map[string]any
		header http.Header
		kind   fault.Kind
		says   string
	}{
		"good":         {map[string]any{"ok": true}, nil, "", ""},
		"first match":  {map[string]any{"ok": false, "error": "ratelimited"}, http.Header{"Retry-After": {"3"}}, fault.RateLimited, ""},
		"text":         {map[string]any{"ok": false, "error": "no_such\nchannel\x1b" + strings.Repeat("x", 1000)}, nil, fault.Invalid, "no_such channel"},
		"header":       {map[string]any{}, http.Header{"X-Gone": {"1"}}, fault.NotFound, ""},
		"other number": {map[string]any{"errors": []any{map[string]any{"code": 602}}}, nil, "", ""},
	} {
		answer, header = test.answer, test.header
		_, err := r.get(got.EntityID, "/odd")
		if fault.KindOf(err) != test.kind {
			t.Errorf("%s: got %v, want %q", name, err, test.kind)
		}
		if err != nil {
			says(t, err, test.says)
		}
		if n := len(fault.PublicMessage(err)); n > 400 {
			t.Errorf("%s: a message of %d bytes", name, n)
		}
	}
	answer, header = map[string]any{"errors": []any{map[string]any{"code": 601}}}, nil
	refused := 0
	r.vendor.handle("/api/odd", func(w http.ResponseWriter, _ *http.Request) {
		if refused++; refused == 1 {
			writeJSON(w, 200, answer)
			return
		}
		writeJSON(w, 200, map[string]any{})
	})
	_, err := r.get(got.EntityID, "/odd")
	check(t, err)
	if n := r.vendor.grants("refresh_token"); n != 1 {
		t.Errorf("%d renewals after an unauthorized in a 200, want 1", n)
	}
}

func TestSend_PutsTheCredentialWhereTheManifestSays(t *testing.T) {
	t.Parallel()
	key := "k+/ &=ü"
	for name, test := range map[string]struct {
		apply []abi.Placement
		q     abi.HTTPRequest
		ok    func(call *http.Request, body string) bool
	}{
		"header": {
			[]abi.Placement{{In: abi.PlaceHeader, Name: "X-Key", Value: "key {{form.api_key}}"}},
			abi.HTTPRequest{},
			func(c *http.Request, _ string) bool { return c.Header.Get("X-Key") == "key "+key },
		},
		"query": {
			[]abi.Placement{{In: abi.PlaceQuery, Name: "k", Value: "{{form.api_key}}"}},
			abi.HTTPRequest{URL: "?a=1&k=mine"},
			func(c *http.Request, _ string) bool {
				q := c.URL.Query()
				return q.Get("k") == key && len(q["k"]) == 1 && q.Get("a") == "1"
			},
		},
		"basic": {
			[]abi.Placement{{In: abi.PlaceBasic, Username: "{{form.api_key}}"}},
			abi.HTTPRequest{},
			func(c *http.Request, _ string) bool { u, p, ok := c.BasicAuth(); return ok && u == key && p == "" },
		},
		"body of a form": {
			[]abi.Placement{{In: abi.PlaceBody, Name: "k", Value: "{{form.api_key}}"}},
			abi.HTTPRequest{Method: "POST", Form: []abi.Pair{{Name: "a", Value: "1"}}},
			func(_ *http.Request, b string) bool {
				q, _ := url.ParseQuery(b)
				return q.Get("k") == key && q.Get("a") == "1"
			},
		},
		"body of JSON": {
			[]abi.Placement{{In: abi.PlaceBody, Name: "k", Value: "{{form.api_key}}"}},
			abi.HTTPRequest{Method: "POST", JSON: json.RawMessage(`{"a":1}`)},
			func(_ *http.Request, b string) bool {
				var o map[string]any
				return json.Unmarshal([]byte(b), &o) == nil && o["k"] == key && o["a"] == 1.0
			},
		},
		"no body": {
			[]abi.Placement{{In: abi.PlaceBody, Name: "k", Value: "{{form.api_key}}"}},
			abi.HTTPRequest{Method: "POST"},
			func(_ *http.Request, b string) bool { q, _ := url.ParseQuery(b); return q.Get("k") == key },
		},
		"two places": {
			[]abi.Placement{{In: abi.PlaceHeader, Name: "X-A", Value: "{{form.label}}"}, {In: abi.PlaceHeader, Name: "X-B", Value: "{{form.api_key}}"}},
			abi.HTTPRequest{},
			func(c *http.Request, _ string) bool {
				return c.Header.Get("X-A") == "label" && c.Header.Get("X-B") == key
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.vendor.changed(func(m *abi.Manifest) {
				apiKey(m)
				m.Auth.Apply, m.Auth.Test, m.Auth.Identify = test.apply, nil, &abi.Identify{ExternalID: "{{form.label}}"}
			}))
			got, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"api_key": key, "label": "label"})
			check(t, err)
			seen := false
			r.vendor.handle("/api/x", func(w http.ResponseWriter, c *http.Request) {
				_, body := r.vendor.lastCall()
				seen = test.ok(c, body)
				writeJSON(w, 200, map[string]any{"echo": c.Header, "query": c.URL.RawQuery, "body": body, "key": key})
			})
			test.q.URL = "/x" + test.q.URL
			res, err := r.send(got.EntityID, test.q, nil)
			check(t, err)
			if !seen {
				t.Error("the credential did not arrive")
			}
			if all := res.Text + res.URL; strings.Contains(all, "k+/") || strings.Contains(all, "k%2B%2F") {
				t.Errorf("the guest reads %s", all)
			}
			if name == "two places" {
				_, err = r.send(got.EntityID, abi.HTTPRequest{URL: "/x", Headers: map[string]string{"x-b": "mine"}}, nil)
				wants(t, err, fault.Invalid, fault.Guest)
			}
		})
	}
}

func TestSend_ReplacesHandlesAtTheWire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	planted := `pl"ant/7f&3a ü`
	h := secret.NewHandles()
	handle := h.Issue(secret.NewText(planted))
	for name, test := range map[string]struct {
		q  abi.HTTPRequest
		ok func(call *http.Request, body string) bool
	}{
		"path": {abi.HTTPRequest{URL: "/x/" + handle + "/y"}, func(c *http.Request, _ string) bool { return c.URL.Path == "/api/x/"+planted+"/y" }},
		"query": {abi.HTTPRequest{URL: "/x?a=" + handle, Query: map[string][]string{"b": {handle}}}, func(c *http.Request, _ string) bool {
			return c.URL.Query().Get("a") == planted && c.URL.Query().Get("b") == planted
		}},
		"header": {abi.HTTPRequest{URL: "/x", Headers: map[string]string{"X-S": "s " + handle}}, func(c *http.Request, _ string) bool { return c.Header.Get("X-S") == "s "+planted }},
		"json": {abi.HTTPRequest{Method: "POST", URL: "/x", JSON: json.RawMessage(`{"s":"a ` + handle + `"}`)}, func(_ *http.Request, b string) bool {
			var o map[string]string
			return json.Unmarshal([]byte(b), &o) == nil && o["s"] == "a "+planted
		}},
		"form": {abi.HTTPRequest{Method: "POST", URL: "/x", Form: []abi.Pair{{Name: "s", Value: handle}}}, func(_ *http.Request, b string) bool { q, _ := url.ParseQuery(b); return q.Get("s") == planted }},
		"part": {abi.HTTPRequest{Method: "POST", URL: "/x", Parts: []abi.Part{{Name: "s", Text: handle}}}, func(_ *http.Request, b string) bool { return strings.Contains(b, "\r\n"+planted+"\r\n") }},
		"text": {abi.HTTPRequest{Method: "POST", URL: "/x", Text: "s=" + handle}, func(_ *http.Request, b string) bool { return b == "s="+planted }},
		"json text": {abi.HTTPRequest{Method: "POST", URL: "/x", Text: `{"s":"` + handle + `"}`, Headers: map[string]string{"Content-Type": "application/json"}}, func(_ *http.Request, b string) bool {
			var o map[string]string
			return json.Unmarshal([]byte(b), &o) == nil && o["s"] == planted
		}},
		"xml text":  {abi.HTTPRequest{Method: "POST", URL: "/x", Text: `<s>` + handle + `</s>`, Headers: map[string]string{"Content-Type": "text/xml"}}, func(_ *http.Request, b string) bool { return b == "<s>pl&quot;ant/7f&amp;3a ü</s>" }},
		"raw bytes": {abi.HTTPRequest{Method: "POST", URL: "/x", Bytes: []byte(handle)}, func(_ *http.Request, b string) bool { return b == handle }},
		"without credential": {abi.HTTPRequest{URL: "/x", WithoutCredential: true, Headers: map[string]string{"X-S": handle}}, func(c *http.Request, _ string) bool {
			return c.Header.Get("X-S") == planted && c.Header.Get("Authorization") == ""
		}},
	} {
		arrived := false
		for _, path := range []string{"/api/x", "/api/x/" + planted + "/y"} {
			r.vendor.handle(path, func(w http.ResponseWriter, c *http.Request) {
				_, body := r.vendor.lastCall()
				arrived = test.ok(c, body)
				writeJSON(w, 200, map[string]any{"echo": planted, "header": c.Header, "url": c.URL.String()})
			})
		}
		res, err := r.send(e, test.q, h)
		if err != nil || !arrived {
			t.Errorf("%s: %v, arrived: %v", name, err, arrived)
		}
		for _, spelling := range []string{"7f&3a", "7f%263a", `7f\u00263a`, "7f&amp;3a"} {
			if strings.Contains(res.Text, spelling) {
				t.Errorf("%s: the guest reads its secret: %s", name, res.Text)
			}
		}
	}
	for name, q := range map[string]abi.HTTPRequest{
		"other table": {URL: "/x", Headers: map[string]string{"X-S": secret.NewHandles().Issue(secret.NewText("x"))}},
		"in the URL":  {URL: "/x?a=" + secret.NewHandles().Issue(secret.NewText("x"))},
		"in the body": {Method: "POST", URL: "/x", Text: secret.NewHandles().Issue(secret.NewText("x"))},
	} {
		_, err := r.send(e, q, h)
		wants(t, err, fault.Invalid, fault.Guest)
		says(t, err, "handle")
		t.Log(name)
	}
}

func TestSend_HandlesAndCredentialsStayAwayFromHostsWithoutCredential(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var got []*http.Request
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, c *http.Request) { got = append(got, c) }))
	t.Cleanup(files.Close)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.Hosts = append(m.Hosts, abi.HostClaim{Host: files.URL, Reason: "files", WithoutCredential: true})
	}))
	e := r.connect().EntityID
	_, err := r.get(e, files.URL+"/signed?sig=1")
	check(t, err)
	h := secret.NewHandles()
	for _, q := range []abi.HTTPRequest{
		{URL: files.URL, Headers: map[string]string{"X-S": h.Issue(secret.NewText("plant"))}},
		{URL: files.URL + "/?s=" + h.Issue(secret.NewText("plant"))},
		{Method: "PUT", URL: files.URL, Text: h.Issue(secret.NewText("plant"))},
	} {
		_, err = r.send(e, q, h)
		wants(t, err, fault.Forbidden, fault.Guest)
	}
	r.vendor.handle("/api/away", func(w http.ResponseWriter, c *http.Request) {
		http.Redirect(w, c, files.URL+"/elsewhere", http.StatusFound)
	})
	_, err = r.send(e, abi.HTTPRequest{URL: "/away", Headers: map[string]string{"X-S": h.Issue(secret.NewText("plant"))}}, h)
	check(t, err)
	for _, c := range got {
		if c.Header.Get("Authorization") != "" || c.Header.Get("X-S") != "" || strings.Contains(c.URL.String(), "plant") {
			t.Errorf("%s got %v", c.URL, c.Header)
		}
	}
	if len(got) != 2 {
		t.Errorf("%d requests, want 2", len(got))
	}
}

func TestSend_AddsTheIdempotencyKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) { m.API.Idempotency = &abi.Idempotency{Header: "Idempotency-Key"} }))
	e := r.connect().EntityID
	opt := connection.CallOptions{Handles: secret.NewHandles()}
	key := func(q abi.HTTPRequest, opt connection.CallOptions) string {
		t.Helper()
		_, err := r.Send(t.Context(), r.mine.Owner, e, q, opt)
		check(t, err)
		call, _ := r.vendor.lastCall()
		return call.Header.Get("Idempotency-Key")
	}
	if got := key(abi.HTTPRequest{URL: "/x"}, opt); got != "" {
		t.Errorf("a GET has the key %q", got)
	}
	if got := key(abi.HTTPRequest{Method: "post", URL: "/x", IdempotencyKey: "mine"}, opt); got != "mine" {
		t.Errorf("got %q, want the guest's", got)
	}
	if got := key(abi.HTTPRequest{Method: "POST", URL: "/x", Headers: map[string]string{"idempotency-key": "header"}}, opt); got != "header" {
		t.Errorf("got %q, want the guest's header", got)
	}
	recorded := plugin.WithHostCall(t.Context(), &plugin.HostCall{Key: "from-run"})
	if _, err := r.Send(recorded, r.mine.Owner, e, abi.HTTPRequest{Method: "POST", URL: "/x"}, opt); err != nil {
		t.Fatal(err)
	}
	if call, _ := r.vendor.lastCall(); call.Header.Get("Idempotency-Key") != "from-run" {
		t.Errorf("a recorded write has the key %q", call.Header.Get("Idempotency-Key"))
	}
	if a, b := key(abi.HTTPRequest{Method: "POST", URL: "/x"}, connection.CallOptions{}), key(abi.HTTPRequest{Method: "POST", URL: "/x"}, connection.CallOptions{}); a == "" || a == b {
		t.Errorf("without a run: %q, %q", a, b)
	}
}

func TestSend_KeepsTokensThatRotateInHeaders(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"X-Next-Token", "Authorization"} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.vendor.changed(func(m *abi.Manifest) {
				apiKey(m)
				m.Auth.Test, m.Auth.Identify = nil, &abi.Identify{ExternalID: "x"}
				m.Auth.Keep = []abi.Keep{{Name: "next", From: "header:" + header}}
				m.Auth.Apply = []abi.Placement{{In: abi.PlaceHeader, Name: "X-Token", Value: "{{form.api_key}}"}}
			}))
			got, err := r.Authorize(t.Context(), r.mine, "crm", map[string]any{"api_key": "first"})
			check(t, err)
			r.install(r.vendor.changed(func(m *abi.Manifest) {
				apiKey(m)
				m.Auth.Test, m.Auth.Identify = nil, &abi.Identify{ExternalID: "x"}
				m.Auth.Keep = []abi.Keep{{Name: "next", From: "header:" + header}}
				m.Auth.Apply = []abi.Placement{{In: abi.PlaceHeader, Name: "X-Token", Value: "{{form.api_key}}{{credential.next}}"}}
			}))
			r.vendor.handle("/api/x", func(w http.ResponseWriter, c *http.Request) {
				w.Header().Set(header, c.Header.Get("X-Token")+"+1")
				writeJSON(w, 200, c.Header.Get("X-Token"))
			})
			_, err = r.get(got.EntityID, "/x")
			if !fault.Is(err, fault.Unavailable) { // nothing was kept so far
				t.Errorf("got %v", err)
			}
			seed(t, r, got.EntityID, header)
			for range 3 {
				res, err := r.get(got.EntityID, "/x")
				check(t, err)
				if _, leaked := res.Headers[strings.ToLower(header)]; leaked || strings.Contains(res.Text, "+1") {
					t.Errorf("the guest reads %+v", res)
				}
			}
			call, _ := r.vendor.lastCall()
			if got := call.Header.Get("X-Token"); got != "firstfirstfirstseed+1+1" {
				t.Errorf("the third call has %q", got)
			}
		})
	}
}

// seed lets an answer bring the first token, on a request that needs none.
func seed(t *testing.T, r *rig, id connection.EntityID, header string) {
	t.Helper()
	m := r.vendor.changed(func(m *abi.Manifest) {
		apiKey(m)
		m.Auth.Test, m.Auth.Identify = nil, &abi.Identify{ExternalID: "x"}
		m.Auth.Keep = []abi.Keep{{Name: "next", From: "header:" + header}}
		m.Auth.Apply = []abi.Placement{{In: abi.PlaceHeader, Name: "X-Token", Value: "{{form.api_key}}"}}
	})
	later := r.catalog.plugins["crm"].Manifest
	r.install(m)
	r.vendor.handle("/api/seed", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(header, "seed") })
	_, err := r.get(id, "/seed")
	check(t, err)
	r.install(&later)
}

func TestSend_HoldsToTheVendorsBudget(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.API.RateLimit = &abi.RateLimit{Requests: 1, PerMS: 3600_000, Burst: 3, Concurrency: 2}
	}))
	e := r.connect().EntityID
	var mu sync.Mutex
	inside, most := 0, 0
	arrived, leave := make(chan struct{}, 3), make(chan struct{})
	r.vendor.handle("/api/x", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		inside++
		most = max(most, inside)
		mu.Unlock()
		arrived <- struct{}{}
		<-leave
		mu.Lock()
		inside--
		mu.Unlock()
	})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := r.get(e, "/x"); err != nil {
				t.Error(err)
			}
		})
	}
	<-arrived
	<-arrived
	close(leave)
	wg.Wait()
	if most != 2 {
		t.Errorf("%d requests at once, want 2", most)
	}
	_, err := r.get(e, "/x")
	wants(t, err, fault.RateLimited, fault.Host)
	if fault.RetryAfterOf(err) < time.Minute {
		t.Errorf("retry after %s", fault.RetryAfterOf(err))
	}
}

func TestSend_SendsTheHeadersOfEveryRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.changed(func(m *abi.Manifest) {
		m.API.Headers = map[string]string{"Accept": "application/json", "X-Client": "{{settings.client_id}}"}
	}))
	e := r.connect().EntityID
	_, err := r.send(e, abi.HTTPRequest{URL: "/x", Headers: map[string]string{"accept": "text/csv"}}, nil)
	check(t, err)
	call, _ := r.vendor.lastCall()
	if diff := cmp.Diff([]string{"text/csv", "client/1"}, []string{call.Header.Get("Accept"), call.Header.Get("X-Client")}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSend_AnswersBytesThatAreNotText(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.vendor.handle("/api/x", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "session=plant")
		_, _ = w.Write([]byte{0xff, 0xfe})
	})
	res, err := r.get(e, "/x")
	check(t, err)
	if res.Text != "" || string(res.Bytes) != "\xff\xfe" || res.URL != r.vendor.URL+"/api/x" || res.Headers["set-cookie"] != nil {
		t.Errorf("got %+v", res)
	}
}

func TestSend_TheOperatorsSecretIsScrubbedFromAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connect().EntityID
	r.vendor.handle("/api/x", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, r.vendor.secret) })
	res, err := r.get(e, "/x")
	check(t, err)
	if res.Text != "\"[secret]\"\n" {
		t.Errorf("got %q", res.Text)
	}
}
