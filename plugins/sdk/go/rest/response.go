package rest

import (
	"iter"
	"strings"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Response is a vendor's answer in full.
type Response struct {
	Status int
	Header map[string][]string // names in lower case
	Body   []byte
	URL    string // where it came from, after redirects
}

// Get returns the first value of a header, whatever its case, or nothing.
func (r *Response) Get(name string) string {
	if values := r.Header[strings.ToLower(name)]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Decode reads the body into v: JSON, or the text itself into a *string, or the bytes into a *[]byte.
func (r *Response) Decode(v any) error {
	switch v := v.(type) {
	case *string:
		*v = string(r.Body)
		return nil
	case *[]byte:
		*v = r.Body
		return nil
	case *frigg.None:
		return nil
	}
	if err := wire.Decode(r.Body, v, "the vendor's answer"); err != nil {
		return &frigg.Fault{Kind: frigg.KindUnavailable, Side: frigg.SideRemote, Message: err.Error(), Status: r.Status, Err: err}
	}
	return nil
}

// Link returns the address of a Link header (RFC 8288) with this relation, or nothing.
func (r *Response) Link(rel string) string {
	for _, header := range r.Header["link"] {
		for part := range strings.SplitSeq(header, ",") {
			target, params, _ := strings.Cut(part, ";")
			target = strings.TrimSpace(target)
			if strings.HasPrefix(target, "<") && strings.HasSuffix(target, ">") && hasRel(params, rel) {
				return target[1 : len(target)-1]
			}
		}
	}
	return ""
}

func hasRel(params, rel string) bool {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(name, "rel") {
			continue
		}
		for r := range strings.FieldsSeq(strings.Trim(value, `"`)) {
			if strings.EqualFold(r, rel) {
				return true
			}
		}
	}
	return false
}

// Linked walks a list whose pages are JSON arrays and whose next page is in the Link header.
func Linked[T any](c Client, path string, options ...Option) iter.Seq2[T, error] {
	return frigg.Each(func(next string) (frigg.Page[T], error) {
		r := Request{URL: next}
		if next == "" {
			r.URL = path
			for _, o := range options {
				o(&r)
			}
		}
		res, err := c.Send(r)
		if err != nil {
			return frigg.Page[T]{}, err
		}
		page := frigg.Page[T]{Next: res.Link("next")}
		return page, res.Decode(&page.Items)
	})
}
