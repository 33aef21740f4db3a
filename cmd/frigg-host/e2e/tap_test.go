//go:build e2e && (linux || darwin)

package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tap stands between the host and a vendor, writes down what goes by, and holds an exchange when it is told to. It changes
// nothing. Safe for concurrent use.
type tap struct {
	URL    string
	vendor string

	mu   sync.Mutex
	all  []seen
	held *hold
}

// seen is a request as it went by, and what the vendor answered; status zero if it never did.
type seen struct {
	Method, Path string
	Header       http.Header
	Body         string
	Status       int
	Answer       []byte
}

// side of the vendor on which an exchange is held.
type side int

const (
	beforeVendor side = iota // the vendor has not heard of it
	afterVendor              // the vendor has done it, and the host does not know
)

// hold is an exchange that waits for its caller to go away.
type hold struct {
	method, path string // of requests whose path ends so
	at           side
	reached      chan struct{}
}

func (h *hold) wants(r *http.Request, at side) bool {
	return h != nil && h.at == at && h.method == r.Method && strings.HasSuffix(r.URL.Path, h.path)
}

// tapOf stands before a vendor until t ends.
func tapOf(t *testing.T, vendor string) *tap {
	t.Helper()
	target, err := url.Parse(vendor)
	check(t, err)
	p := &tap{vendor: vendor}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host              // Gitea compares it with the origin of its forms
			r.Out.Header.Del("Accept-Encoding") // so that answers can be read here
		},
		ModifyResponse: func(res *http.Response) error { return p.passing(res) },
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.take(proxy, w, r) }))
	t.Cleanup(func() {
		server.CloseClientConnections() // ends what is held
		server.Close()
	})
	p.URL = server.URL
	return p
}

type indexKey struct{}

func (p *tap) take(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.mu.Lock()
	p.all = append(p.all, seen{Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone(), Body: string(body)})
	r = r.WithContext(context.WithValue(r.Context(), indexKey{}, len(p.all)-1))
	p.mu.Unlock()
	if !p.stopped(r, beforeVendor) {
		proxy.ServeHTTP(w, r)
	}
}

// passing sees the vendor's answer before the host does.
func (p *tap) passing(res *http.Response) error {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	i := res.Request.Context().Value(indexKey{}).(int)
	p.mu.Lock()
	p.all[i].Status, p.all[i].Answer = res.StatusCode, body
	p.mu.Unlock()
	if p.stopped(res.Request, afterVendor) {
		return res.Request.Context().Err()
	}
	return nil
}

// stopped waits for the caller to go away if the exchange is to be held here.
func (p *tap) stopped(r *http.Request, at side) bool {
	p.mu.Lock()
	h := p.held
	if !h.wants(r, at) {
		p.mu.Unlock()
		return false
	}
	p.held = nil
	p.mu.Unlock()
	close(h.reached)
	<-r.Context().Done()
	return true
}

// holdNext holds the next exchange of this kind and returns what is closed once it stands.
func (p *tap) holdNext(method, path string, at side) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = &hold{method, path, at, make(chan struct{})}
	return p.held.reached
}

// requests are those so far with this method and a path that begins so, in order.
func (p *tap) requests(method, prefix string) []seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.all), func(s seen) bool { return s.Method != method || !strings.HasPrefix(s.Path, prefix) })
}

// form is the body of a request as a form.
func (s seen) form(t *testing.T) url.Values {
	t.Helper()
	form, err := url.ParseQuery(s.Body)
	check(t, err)
	return form
}

// bearer is the token that the last request with one carried.
func (p *tap) bearer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range slices.Backward(p.all) {
		if token, ok := strings.CutPrefix(s.Header.Get("Authorization"), "Bearer "); ok {
			return token
		}
	}
	return ""
}
