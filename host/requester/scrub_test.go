package requester_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// spellings are the ways in which a careless vendor writes what it was sent.
func spellings(s string) map[string]string {
	quoted, _ := json.Marshal(s)
	var plain strings.Builder
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	all := map[string]string{
		"raw":                 s,
		"query":               url.QueryEscape(s),
		"query, lower case":   lowerEscapes(url.QueryEscape(s)),
		"path":                url.PathEscape(s),
		"space as %20":        strings.ReplaceAll(url.QueryEscape(s), "+", "%20"),
		"JSON":                string(quoted),
		"JSON without HTML":   plain.String(),
		"JSON of PHP":         strings.ReplaceAll(string(quoted), "/", `\/`),
		"JSON inside JSON":    fmt.Sprintf("%q", url.QueryEscape(s)),
		"HTML":                html.EscapeString(s),
		"HTML of other tools": strings.NewReplacer("&", "&amp;", `"`, "&quot;", "'", "&#x27;", "<", "&lt;", ">", "&gt;", "/", "&#x2F;").Replace(s),
	}
	for i, before := range []string{"", "u", "us", "use", "user:"} {
		all[fmt.Sprintf("base64 %d", i)] = base64.StdEncoding.EncodeToString([]byte(before + s + ":after"))
		all[fmt.Sprintf("base64url %d", i)] = base64.RawURLEncoding.EncodeToString([]byte(before + s))
		all[fmt.Sprintf("escaped base64 %d", i)] = url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(before + s)))
	}
	return all
}

func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i:i+3], strings.ToLower(string(b[i:i+3])))
		}
	}
	return string(b)
}

// holds reports whether text gives s away, by undoing encodings instead of knowing their spellings.
func holds(text, s string) bool {
	seen := []string{text, html.UnescapeString(text), strings.ReplaceAll(text, `\/`, "/")}
	if u, err := url.QueryUnescape(text); err == nil {
		seen = append(seen, u)
	}
	if u, err := url.PathUnescape(text); err == nil {
		seen = append(seen, u)
	}
	var j string
	if json.Unmarshal([]byte(strings.TrimSpace(text)), &j) == nil {
		seen = append(seen, j)
	}
	for _, v := range seen {
		if strings.Contains(v, s) {
			return true
		}
		run := strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(v)
		for skip := range min(4, len(run)) {
			part := run[skip:]
			if raw, _ := base64.RawStdEncoding.DecodeString(part[:len(part)/4*4]); strings.Contains(string(raw), s) {
				return true
			}
			if raw, err := base64.RawStdEncoding.DecodeString(part); err == nil && strings.Contains(string(raw), s) {
				return true
			}
		}
	}
	return false
}

var planted = []string{
	"sk_live_51NzQabcdefghij", "p@ss w/rd+&=?", `quote"back\slash'tick`, "ünïcödé-pässwörd", "ya29.a0AfB/yC+x=y==", "<script>&amp;", "emoji-\U0001F511-key", "tab\tand\nline", "%41%42already-escaped", "+/=!$%&/()=?", "пароль/ключ", "four",
}

func TestScrub_EchoInEverySpelling(t *testing.T) {
	t.Parallel()
	for _, s := range planted {
		for name, written := range spellings(s) {
			if len(s) < 10 && strings.Contains(name, "base64") {
				continue // too short to be told from chance; see minCoreBytes
			}
			t.Run(s+" "+name, func(t *testing.T) {
				t.Parallel()
				if !holds(written, s) {
					t.Fatalf("the test does not see %q in %q", s, written)
				}
				base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
					if headerSafe(written) {
						w.Header().Set("X-Echo", written)
						w.Header().Set("Location", "/?"+written)
					}
					w.WriteHeader(401)
					_, _ = io.WriteString(w, written)
				})
				res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, authorize(func(out *requester.Outgoing) []secret.Text {
					return []secret.Text{secret.NewText(s)}
				}))
				if err != nil {
					t.Fatal(err)
				}
				for place, text := range map[string]string{"body": string(res.Body), "X-Echo": res.Header.Get("X-Echo"), "Location": res.Header.Get("Location"), "all": fmt.Sprintf("%+v %#v %s", res, res, res.Body)} {
					if holds(text, s) {
						t.Errorf("%s: %q", place, text)
					}
				}
			})
		}
	}
}

// What goes out is escaped for where it stands, so that a vendor who escapes what it has seen escapes it again.
func TestScrub_EchoOfWhatWasEscapedOnItsWay(t *testing.T) {
	t.Parallel()
	const s, core = `+/"<=&%\ kErNeL42kErNeL42 \%&=<"/+`, "kErNeL42kErNeL42"
	quoted, _ := json.Marshal(s)
	ways := map[string]string{"query": url.QueryEscape(s), "path": url.PathEscape(s), "JSON": string(quoted), "plain JSON": strings.TrimSpace(spellings(s)["JSON without HTML"])}
	for way, sent := range ways {
		again, _ := json.Marshal(sent)
		var body strings.Builder
		for _, written := range []string{url.QueryEscape("/?key=" + sent), url.PathEscape(sent), string(again), base64.StdEncoding.EncodeToString([]byte("GET /?key=" + sent)), base64.RawURLEncoding.EncodeToString([]byte(sent))} {
			body.WriteString(written + "\n")
		}
		base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, body.String()) })
		res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, authorize(func(*requester.Outgoing) []secret.Text {
			return []secret.Text{secret.NewText(s)}
		}))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(string(res.Body)), "\n") {
			if raw, _ := base64.RawStdEncoding.DecodeString(strings.TrimRight(line, "=")); strings.Contains(line+string(raw), core) {
				t.Errorf("sent as %s: %q", way, line)
			}
		}
	}
}

func headerSafe(s string) bool { return !strings.ContainsAny(s, "\r\n\t") }

// A vendor that gives back all it got, in every place where it can.
func TestScrub_VendorThatEchoesTheWholeRequest(t *testing.T) {
	t.Parallel()
	const key, password = "key/with+signs=", "correct horse battery"
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for name, values := range r.Header {
			w.Header()["X-Echo-"+name] = values
		}
		w.Header().Set("X-"+strings.ReplaceAll(r.Header.Get("X-Plain"), "_", "-")+"-Seen", "yes")
		w.Header().Set("Www-Authenticate", `Bearer error="invalid_token", token="`+r.Header.Get("X-Key")+`"`)
		w.Header().Set("Link", "<"+r.URL.String()+`>; rel="next"`)
		_ = json.NewEncoder(w).Encode(map[string]any{"uri": r.RequestURI, "query": r.URL.Query(), "header": r.Header, "body": string(body)})
	})
	auth := authorize(func(out *requester.Outgoing) []secret.Text {
		out.URL.RawQuery = "api_key=" + url.QueryEscape(key)
		out.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("me:"+password)))
		out.Header.Set("X-Key", key)
		out.Header.Set("X-Plain", "plain-token-value")
		out.Body = []byte(url.Values{"password": {password}}.Encode())
		return []secret.Text{secret.NewText(key), secret.NewText(password), secret.NewText("plain-token-value")}
	})
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: "POST", URL: base}, auth)
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %s %s", res.Header, res.Body, res.URL)
	for _, part := range []string{"with", "horse", "plain-token", "Plain-Token", "Y29ycmVjdCBob3JzZS"} {
		if strings.Contains(all, part) {
			t.Errorf("%q is in %s", part, all)
		}
	}
	if !strings.Contains(res.Header.Get("Www-Authenticate"), `error="invalid_token"`) {
		t.Errorf("more was removed than the secret: %v", res.Header)
	}
}

// Errors of the transport quote what the other side sent.
func TestScrub_Faults(t *testing.T) {
	t.Parallel()
	const token = "token-abcdefgh"
	for name, answer := range map[string]string{
		"status line": token + "\r\n\r\n", "status code": "HTTP/1.1 " + token + "\r\n\r\n", "header": "HTTP/1.1 200 OK\r\n" + token + "\r\n\r\n", "encoding": "HTTP/1.1 200 OK\r\nContent-Encoding: " + token + "\r\n\r\nx",
		"length": "HTTP/1.1 200 OK\r\nContent-Length: " + token + "\r\n\r\n", "transfer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + token + "\r\n\r\n",
		"redirect to a host": "HTTP/1.1 302 Found\r\nLocation: https://" + token + ".evil.example/" + token + "\r\nContent-Length: 0\r\n\r\n",
	} {
		base, _ := wireVendor(t, reply(answer))
		_, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: "POST", URL: base}, &bearer{tokens: []string{token}})
		var f *requester.Failure
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		f = wantFault(t, err, fault.KindOf(err), fault.SideOf(err))
		if text := fmt.Sprintf("%v %+v %#v %s %+v %#v %v", err, err, err, fault.PublicMessage(err), f, f, f.Err); strings.Contains(text, token) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestScrub_BothTokensOfARenewal(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-one" {
			w.WriteHeader(401)
			return
		}
		_, _ = io.WriteString(w, "instead of token-one you sent token-two")
	})
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, &bearer{tokens: []string{"token-one", "token-two"}})
	if err != nil || string(res.Body) != "instead of [secret] you sent [secret]" {
		t.Errorf("%s, %v", res.Body, err)
	}
}

func TestScrub_LongerSecretFirst(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "a token-and-more b token c") })
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, authorize(func(*requester.Outgoing) []secret.Text {
		return []secret.Text{secret.NewText("token"), secret.NewText("token-and-more"), secret.NewText(""), secret.NewText("abc"), {}}
	}))
	if err != nil || string(res.Body) != "a [secret] b [secret] c" || res.Header.Get("Content-Length") != "" {
		t.Errorf("%s %v, %v", res.Body, res.Header, err)
	}
}

func TestScrub_BeforeTheAuthorizerSeesThe401(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(401)
	})
	auth := &watching{bearer: bearer{tokens: []string{"token-one"}}}
	if _, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base}, auth); err != nil {
		t.Fatal(err)
	}
	if auth.saw != "Bearer [secret]" {
		t.Errorf("saw %q", auth.saw)
	}
}

func TestResponse_CredentialsHandedOutAreWithheld(t *testing.T) {
	t.Parallel()
	base, _ := wireVendor(t, reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: session=abcd\r\nset-cookie: other=efgh\r\nAuthorization: Bearer next-token\r\nX-Kept: 1\r\n\r\nok"))
	res, err := get(t, open(t), base)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(http.Header{"Content-Length": {"2"}, "X-Kept": {"1"}}, res.Header); diff != "" {
		t.Error(diff)
	}
	cookies, next := res.Withheld["Set-Cookie"], res.Withheld["Authorization"]
	if len(cookies) != 2 || cookies[1].Reveal() != "other=efgh" || len(next) != 1 || next[0].Reveal() != "Bearer next-token" {
		t.Errorf("withheld: %d cookies, %d tokens", len(cookies), len(next))
	}
	printed, _ := json.Marshal(res)
	if text := fmt.Sprintf("%v %+v %#v %s", res, res, res, printed); strings.Contains(text, "abcd") || strings.Contains(text, "next-token") {
		t.Error(text)
	}
}

func TestResponse_NamedHeadersAreWithheldAsTheyCame(t *testing.T) {
	t.Parallel()
	base, _ := wireVendor(t, reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Next: token-one\r\nX-Other: token-one\r\n\r\nok"))
	req := requester.Request{URL: base, Withhold: []string{"x-next", "X-Absent"}}
	res, err := open(t).Do(t.Context(), allow(t, base), req, &bearer{tokens: []string{"token-one"}})
	if err != nil {
		t.Fatal(err)
	}
	if next := res.Withheld["X-Next"]; len(next) != 1 || next[0].Reveal() != "token-one" || len(res.Withheld) != 1 {
		t.Errorf("withheld: %v", res.Withheld)
	}
	if diff := cmp.Diff(http.Header{"Content-Length": {"2"}, "X-Other": {"[secret]"}}, res.Header); diff != "" {
		t.Error(diff)
	}
}

func FuzzScrub_NoSpellingStays(f *testing.F) {
	for _, s := range planted {
		f.Add(s, "before", "after")
	}
	base, release := echoServer(f)
	f.Cleanup(release)
	r := requester.New(requester.Config{AllowPrivate: loopback})
	f.Cleanup(r.Close)
	f.Fuzz(func(t *testing.T, s, before, after string) {
		if len(s) < 4 || strings.Contains("[secret]", s) || strings.Contains(before+"[secret]"+after, s) || strings.Contains(s, "[secret]") {
			t.Skip()
		}
		body := before + s + after + "\n" + before + url.QueryEscape(s) + after + "\n" + before + url.PathEscape(s) + after
		res, err := r.Do(t.Context(), allow(t, base), requester.Request{Method: "POST", URL: base, Body: []byte(body)}, authorize(func(*requester.Outgoing) []secret.Text {
			return []secret.Text{secret.NewText(s)}
		}))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(res.Body), s) && !strings.Contains(strings.ReplaceAll(string(res.Body), "[secret]", ""), s) {
			t.Skip() // made by the replacement itself
		}
		if strings.Contains(string(res.Body), s) {
			t.Errorf("%q stays in %q", s, res.Body)
		}
	})
}

func echoServer(f *testing.F) (string, func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String(), func() { _ = s.Close() }
}
