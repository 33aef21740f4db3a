package connection

import (
	"bytes"
	"encoding/json"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// outgoing is a request in which handles stand for secrets. It is never changed once it is made.
type outgoing struct {
	method string
	url    string
	header http.Header
	body   body
	// guarded headers (Authorization and the like) may only be set by an authorizer.
	guarded http.Header
	// client is basic authentication of the application at a token endpoint.
	client *clientPassword

	handles *secret.Handles
	filler  *filler
	// plain requests go without the connection's credential.
	plain bool
	// tokens says that the answer brings secrets which must arrive unscrubbed. It never reaches a guest.
	tokens bool

	timeout  time.Duration
	maxBytes int64
}

// clientPassword is a client id and secret for RFC 6749 2.3.1.
type clientPassword struct{ id, secret secret.Text }

// body is the content of a request. escape is how a secret is written into it; nil where handles are not looked for.
type body struct {
	content     []byte
	contentType string
	escape      func(string) string
}

// writeFields writes the fields of a token request or template. The second result is a query, for kind query.
func writeFields(kind abi.BodyKind, fields map[string]string) (body, url.Values, error) {
	switch kind {
	case abi.BodyKindForm:
		return formBody(pairs(fields)), nil, nil
	case abi.BodyKindJSON:
		b, err := marshal(fields)
		return body{content: b, contentType: "application/json", escape: inJSON}, nil, err
	case abi.BodyKindMultipart:
		parts := make([]abi.Part, 0, len(fields))
		for _, p := range pairs(fields) {
			parts = append(parts, abi.Part{Name: p.Name, Text: p.Value})
		}
		b, err := multipartBody(parts)
		return b, nil, err
	case abi.BodyKindQuery:
		q := url.Values{}
		for name, v := range fields {
			q.Set(name, v)
		}
		return body{}, q, nil
	}
	return body{}, nil, nil
}

func pairs(fields map[string]string) []abi.Pair {
	out := make([]abi.Pair, 0, len(fields))
	for name, v := range fields {
		out = append(out, abi.Pair{Name: name, Value: v})
	}
	slices.SortFunc(out, func(a, b abi.Pair) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func formBody(pairs []abi.Pair) body {
	return body{content: []byte(encodePairs(pairs)), contentType: "application/x-www-form-urlencoded", escape: url.QueryEscape}
}

// encodePairs keeps order and repetition, which url.Values does not.
func encodePairs(pairs []abi.Pair) string {
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.Name) + "=" + url.QueryEscape(p.Value))
	}
	return b.String()
}

func multipartBody(parts []abi.Part) (body, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		if strings.ContainsAny(p.Name+p.FileName+p.ContentType, "\r\n\x00") {
			return body{}, guestFault(fault.Invalid, "the name or type of a part has control characters")
		}
		disposition := map[string]string{"name": p.Name}
		if p.FileName != "" {
			disposition["filename"] = p.FileName
		}
		h.Set("Content-Disposition", mime.FormatMediaType("form-data", disposition))
		if p.ContentType != "" {
			h.Set("Content-Type", p.ContentType)
		} else if p.FileName != "" {
			h.Set("Content-Type", "application/octet-stream")
		}
		content := p.Bytes
		if p.Text != "" {
			content = []byte(p.Text)
		}
		part, err := w.CreatePart(h)
		if err == nil {
			_, err = part.Write(content)
		}
		if err != nil {
			return body{}, fault.Wrap(err, fault.Internal, "connection.Send", "the parts could not be written")
		}
	}
	if err := w.Close(); err != nil {
		return body{}, fault.Wrap(err, fault.Internal, "connection.Send", "the parts could not be written")
	}
	return body{content: b.Bytes(), contentType: w.FormDataContentType(), escape: asIs}, nil
}

// marshal is json.Marshal without escapes for HTML, which some vendors sign or compare.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fault.New(fault.Internal, "connection.Send", "the body could not be encoded")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func asIs(s string) string { return s }

// inJSON writes a text as it stands between the quotes of a JSON string.
func inJSON(s string) string {
	b, err := marshal(s)
	if err != nil {
		return ""
	}
	return string(b[1 : len(b)-1])
}

var inXML = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace

// escapeFor is how a secret is written into a text of this type.
func escapeFor(contentType string) func(string) string {
	t, _, _ := mime.ParseMediaType(contentType)
	switch {
	case t == "application/json", strings.HasSuffix(t, "+json"):
		return inJSON
	case t == "application/x-www-form-urlencoded":
		return url.QueryEscape
	case t == "application/xml", t == "text/xml", strings.HasSuffix(t, "+xml"):
		return inXML
	}
	return asIs
}

// guardedHeader reports whether only an authorizer may set a header.
func guardedHeader(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return name == "Authorization" || name == "Cookie" || name == "Cookie2" || strings.HasPrefix(name, "Proxy-")
}

// request makes an outgoing of a request as data, all its templates filled.
func (f *filler) request(r *abi.RequestTemplate) (*outgoing, error) {
	out := &outgoing{method: r.Method, header: http.Header{}, guarded: http.Header{}, handles: f.handles, filler: f, plain: r.WithoutCredential}
	var err error
	if strings.HasPrefix(r.URL, "/") {
		if out.url, err = f.below(r.URL); err != nil {
			return nil, err
		}
	} else if out.url, err = f.url(r.URL); err != nil {
		return nil, err
	}
	for name, template := range r.Headers {
		text, err := f.text(template)
		if err != nil {
			return nil, err
		}
		if guardedHeader(name) {
			out.guarded.Set(name, text)
		} else {
			out.header.Set(name, text)
		}
	}
	query, err := f.texts(r.Query)
	if err != nil {
		return nil, err
	}
	fields, err := f.texts(r.Fields)
	if err != nil {
		return nil, err
	}
	content, more, err := writeFields(r.Body, fields)
	if err != nil {
		return nil, err
	}
	out.url = addQuery(out.url, encodePairs(pairs(query)))
	out.url = addQuery(out.url, more.Encode())
	out.setBody(content)
	return out, nil
}

func (f *filler) texts(templates map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(templates))
	for name, template := range templates {
		text, err := f.text(template)
		if err != nil {
			return nil, err
		}
		out[name] = text
	}
	return out, nil
}

// below fills a path below the module's base URL.
func (f *filler) below(template string) (string, error) {
	base, err := f.base()
	if err != nil {
		return "", err
	}
	path, err := f.fill(template, func(before string, v value) (string, error) {
		text := v.text.Reveal()
		switch {
		case v.secret:
			return "", f.misplaced()
		case strings.ContainsRune(before, '?'):
			return url.QueryEscape(text), nil
		case text == "." || text == "..":
			return "", badAddress(text, "cannot be a part of a path")
		}
		return url.PathEscape(text), nil
	})
	return base + path, err
}

// base is the filled base URL without a trailing slash.
func (f *filler) base() (string, error) {
	if f.m.api == nil {
		return "", fault.New(fault.Internal, "connection.Fill", "module %s declares no base URL", f.m.Name).On(fault.Guest)
	}
	base, err := f.url(f.m.api.BaseURL)
	return strings.TrimRight(base, "/"), err
}

func addQuery(address, query string) string {
	switch {
	case query == "":
		return address
	case strings.Contains(address, "?"):
		return address + "&" + query
	}
	return address + "?" + query
}

// setBody adds content and, unless the caller has named one, its type.
func (o *outgoing) setBody(b body) {
	o.body = b
	if b.contentType != "" && o.header.Get("Content-Type") == "" {
		o.header.Set("Content-Type", b.contentType)
	}
}

// secretive reports that a secret would go out with the request, besides the connection's credential.
func (o *outgoing) secretive() bool {
	for _, values := range o.header {
		if slices.ContainsFunc(values, secret.HasHandle) {
			return true
		}
	}
	return o.client != nil || len(o.guarded) > 0 || secret.HasHandle(o.url) || o.body.escape != nil && secret.HasHandle(string(o.body.content))
}
