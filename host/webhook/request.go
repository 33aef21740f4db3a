// Package webhook judges requests of vendors by what a module declares: is it signed, is it a handshake, which event and whose
// account is it.
//
// It is pure: it knows no store, no owner and no clock, and where secrets are kept is somebody else's business. Bodies are
// judged as the raw bytes that came. Nothing that a request holds makes it panic, block or take more than a few times the
// memory of the request. Functions are safe for concurrent use, a Request is not.
package webhook

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/frigg-host/frigg-host/host/pointer"
)

// Request is a request as a vendor sent it.
type Request struct {
	Method string
	URL    string // as the vendor called it, absolute
	Header http.Header
	Query  url.Values
	Body   []byte // raw

	decoded bool
	doc     any
}

// document is the body as JSON, nil if it is none.
func (r *Request) document() any {
	if !r.decoded {
		r.doc, _ = pointer.Decode(r.Body)
		r.decoded = true
	}
	return r.doc
}

// Find returns the text at `header:NAME`, `query:NAME` or a JSON pointer of the body, numbers as they are written. False when
// there is none.
func (r *Request) Find(where string) (string, bool) {
	if name, ok := strings.CutPrefix(where, "header:"); ok {
		values := r.Header.Values(name)
		return strings.Join(values, ", "), len(values) > 0
	}
	if name, ok := strings.CutPrefix(where, "query:"); ok {
		return r.Query.Get(name), r.Query.Has(name)
	}
	if where == "" {
		return "", false
	}
	return pointer.Text(r.document(), where)
}

// Text is Find without saying whether there was one.
func (r *Request) Text(where string) string {
	text, _ := r.Find(where)
	return text
}
