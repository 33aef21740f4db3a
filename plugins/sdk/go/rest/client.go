// Package rest asks the vendor over HTTP. The host adds the credential, the base URL, retries and limits; a plugin says what
// it wants and gets values back.
//
// Modules have their own shorter forms of Get, Post and so on; here are the forms for integrations (with Call.HTTP), bodies,
// paths, and the answer in full. The package knows no vendor. A Client is safe for concurrent use.
package rest

import (
	"net/url"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Client sends requests on one connection.
type Client struct {
	host wire.Host
	role string
}

// New is for the packages module and integration.
func New(h wire.Host, role string) Client { return Client{host: h, role: role} }

// Request is one request. Only URL is required.
type Request struct {
	Method string // default GET
	URL    string // a path below the module's api.base_url, or absolute
	Query  url.Values
	Header map[string]string
	// Body is nil, a Form, a Multipart, a Text, a Bytes, or any value for JSON.
	Body any
	// Timeout is at most the manifest's, which is also the default.
	Timeout time.Duration
	// IdempotencyKey replaces the host's own, which is the same for every try of one event.
	IdempotencyKey string
	// SafeToRepeat says that sending it again does no harm though its method says otherwise, such as a search by POST.
	SafeToRepeat bool
	// AnyStatus hands out the answer whatever its status; otherwise 400 and more is a fault.
	AnyStatus bool
	// WithoutCredential leaves the credential out.
	WithoutCredential bool
}

// Option changes a request before it is sent.
type Option func(*Request)

// Query adds a parameter for every value. Empty texts are left out, so that optional filters need no condition.
func Query(name string, values ...string) Option {
	return func(r *Request) {
		for _, v := range values {
			if v == "" {
				continue
			}
			if r.Query == nil {
				r.Query = url.Values{}
			}
			r.Query.Add(name, v)
		}
	}
}

// Header sets a header; an empty value leaves it out.
func Header(name, value string) Option {
	return func(r *Request) {
		if value == "" {
			return
		}
		if r.Header == nil {
			r.Header = map[string]string{}
		}
		r.Header[name] = value
	}
}

// IdempotencyKey names the write, so that the vendor does it once however often it is sent.
func IdempotencyKey(key string) Option { return func(r *Request) { r.IdempotencyKey = key } }

// SafeToRepeat says that sending the request again does no harm.
func SafeToRepeat(r *Request) { r.SafeToRepeat = true }

// Timeout bounds the request.
func Timeout(d time.Duration) Option { return func(r *Request) { r.Timeout = d } }

// Send sends a request as it is.
func (c Client) Send(r Request) (*Response, error) {
	m := abi.HTTPRequest{
		Role: c.role, Method: r.Method, URL: r.URL, Query: r.Query, Headers: r.Header, TimeoutMS: r.Timeout.Milliseconds(),
		IdempotencyKey: r.IdempotencyKey, SafeToRepeat: r.SafeToRepeat, RawStatus: r.AnyStatus, WithoutCredential: r.WithoutCredential,
	}
	if err := setBody(&m, r.Body); err != nil {
		return nil, err
	}
	a, err := wire.HTTPSend(c.host, m)
	if err != nil {
		return nil, err
	}
	body := a.Bytes
	if len(body) == 0 {
		body = []byte(a.Text)
	}
	return &Response{Status: int(a.Status), Header: a.Headers, Body: body, URL: a.URL}, nil
}

// Do sends a request and decodes the answer: JSON, or the text itself when Out is a string, or the bytes when it is []byte.
// An answer without a body leaves Out zero.
func Do[Out any](c Client, r Request, options ...Option) (Out, error) {
	var out Out
	for _, o := range options {
		o(&r)
	}
	res, err := c.Send(r)
	if err != nil {
		return out, err
	}
	return out, res.Decode(&out)
}

// Get asks for path.
func Get[Out any](c Client, path string, options ...Option) (Out, error) {
	return Do[Out](c, Request{URL: path}, options...)
}

// Post sends body to path.
func Post[Out any](c Client, path string, body any, options ...Option) (Out, error) {
	return Do[Out](c, Request{Method: "POST", URL: path, Body: body}, options...)
}

// Put puts body at path.
func Put[Out any](c Client, path string, body any, options ...Option) (Out, error) {
	return Do[Out](c, Request{Method: "PUT", URL: path, Body: body}, options...)
}

// Patch changes what is at path.
func Patch[Out any](c Client, path string, body any, options ...Option) (Out, error) {
	return Do[Out](c, Request{Method: "PATCH", URL: path, Body: body}, options...)
}

// Delete removes what is at path.
func Delete(c Client, path string, options ...Option) error {
	_, err := Do[[]byte](c, Request{Method: "DELETE", URL: path}, options...)
	return err
}
