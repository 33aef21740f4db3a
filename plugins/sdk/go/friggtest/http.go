//go:build !wasip1

package friggtest

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

// ask sends a guest's request to a vendor.
func ask(vendor http.Handler, q abi.HTTPRequest) (abi.HTTPResponse, error) {
	if vendor == nil {
		return abi.HTTPResponse{}, frigg.Unsupported("friggtest: nobody answers %s %s", q.Method, q.URL)
	}
	r, err := request(q)
	if err != nil {
		return abi.HTTPResponse{}, err
	}
	w := httptest.NewRecorder()
	vendor.ServeHTTP(w, r)
	return answer(q, w.Result())
}

func request(q abi.HTTPRequest) (*http.Request, error) {
	u, err := url.Parse(q.URL)
	if err != nil {
		return nil, frigg.Invalid("friggtest: the URL %q: %w", q.URL, err)
	}
	query := u.Query()
	for name, values := range q.Query {
		query[name] = append(query[name], values...)
	}
	u.RawQuery = query.Encode()
	if u.Host == "" {
		u.Scheme, u.Host = "http", "vendor.test"
	}
	method := q.Method
	if method == "" {
		method = http.MethodGet
	}
	body, contentType := encodeBody(q)
	r, err := http.NewRequest(method, u.String(), body)
	if err != nil {
		return nil, frigg.Invalid("friggtest: %w", err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if q.IdempotencyKey != "" {
		r.Header.Set("Idempotency-Key", q.IdempotencyKey)
	}
	for name, value := range q.Headers {
		r.Header.Set(name, value)
	}
	return r, nil
}

func encodeBody(q abi.HTTPRequest) (io.Reader, string) {
	switch {
	case q.JSON != nil:
		return bytes.NewReader(q.JSON), "application/json"
	case q.Form != nil:
		var pairs []string
		for _, p := range q.Form {
			pairs = append(pairs, url.QueryEscape(p.Name)+"="+url.QueryEscape(p.Value))
		}
		return strings.NewReader(strings.Join(pairs, "&")), "application/x-www-form-urlencoded"
	case q.Parts != nil:
		return encodeParts(q.Parts)
	case q.Text != "":
		return strings.NewReader(q.Text), ""
	}
	return bytes.NewReader(q.Bytes), ""
}

func encodeParts(parts []abi.Part) (io.Reader, string) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, p := range parts {
		params := map[string]string{"name": p.Name}
		if p.FileName != "" {
			params["filename"] = p.FileName
		}
		h := textproto.MIMEHeader{"Content-Disposition": {mime.FormatMediaType("form-data", params)}}
		if p.ContentType != "" {
			h.Set("Content-Type", p.ContentType)
		}
		part, err := w.CreatePart(h)
		if err != nil {
			panic(err) // a buffer takes everything
		}
		_, _ = part.Write(append(p.Bytes, p.Text...))
	}
	_ = w.Close()
	return &body, w.FormDataContentType()
}

func answer(q abi.HTTPRequest, res *http.Response) (abi.HTTPResponse, error) {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return abi.HTTPResponse{}, err
	}
	if res.StatusCode >= 400 && !q.RawStatus {
		return abi.HTTPResponse{}, refused(res)
	}
	a := abi.HTTPResponse{Status: int64(res.StatusCode), Headers: map[string][]string{}, URL: q.URL}
	for name, values := range res.Header {
		a.Headers[strings.ToLower(name)] = values
	}
	if utf8.Valid(body) {
		a.Text = string(body)
	} else {
		a.Bytes = body
	}
	return a, nil
}

// refused is what the host makes of a status of 400 and more.
func refused(res *http.Response) error {
	seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
	return &frigg.Fault{
		Kind: kindOf(res.StatusCode), Side: frigg.SideRemote, Status: res.StatusCode,
		Message: "the vendor answered " + res.Status, RetryAfter: time.Duration(seconds) * time.Second,
	}
}

func kindOf(status int) frigg.Kind {
	switch status {
	case http.StatusUnauthorized:
		return frigg.KindUnauthorized
	case http.StatusForbidden:
		return frigg.KindForbidden
	case http.StatusNotFound, http.StatusGone:
		return frigg.KindNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return frigg.KindConflict
	case http.StatusRequestEntityTooLarge:
		return frigg.KindTooLarge
	case http.StatusTooManyRequests:
		return frigg.KindRateLimited
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return frigg.KindTimeout
	}
	if status >= 500 {
		return frigg.KindUnavailable
	}
	return frigg.KindInvalid
}
