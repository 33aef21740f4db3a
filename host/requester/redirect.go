package requester

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/frigg-host/frigg-host/host/fault"
)

// carried headers say nothing of who asks, so they may follow a redirect to another origin. All others stay behind: a header of
// the vendor's own invention may be a credential.
var carried = []string{"Accept", "Accept-Language", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Range", "User-Agent"}

func badRedirect(kind fault.Kind, format string, args ...any) *fault.Error {
	return &fault.Error{Kind: kind, Side: fault.Remote, Msg: fmt.Sprintf(format, args...)}
}

// redirected returns where the answer to h sends us, or nil if the answer is for the caller: no redirect, one without Location
// (308 in resumable uploads), or one that would carry a body or an unsafe method to another origin.
//
// Methods follow RFC 9110 section 15.4 and the Fetch standard: 303 becomes GET, 301 and 302 turn POST into GET, all else stays.
func (c *call) redirected(h hop, res *http.Response) (*hop, error) {
	location := res.Header.Get("Location")
	if location == "" || !c.follows || !isRedirect(res.StatusCode) {
		return nil, nil
	}
	target, err := resolve(h.target, location)
	if err != nil {
		return nil, badRedirect(fault.Unavailable, "%s redirects to a URL that cannot be used: %s", c.host, err)
	}
	if _, ok := c.policy.Rule(target); !ok {
		return nil, notGranted("was redirected by "+c.host+" to", target)
	}
	if h.target.Scheme == "https" && target.Scheme == "http" {
		return nil, badRedirect(fault.Forbidden, "%s redirects from https to http", c.host)
	}
	next := hop{method: h.method, target: target, header: h.header, body: h.body, trusted: h.trusted}
	if becomesGet(res.StatusCode, h.method) {
		next = next.asGet()
	}
	if h.target.sameOrigin(target) {
		return &next, nil
	}
	if c.secrets.found(location) {
		return nil, badRedirect(fault.Forbidden, "%s redirects to another host with the credential in the URL", c.host)
	}
	if len(next.body) > 0 || (next.method != http.MethodGet && next.method != http.MethodHead) {
		return nil, nil
	}
	next.trusted, next.header = false, only(h.header, carried)
	return &next, nil
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func becomesGet(status int, method string) bool {
	switch status {
	case http.StatusSeeOther:
		return method != http.MethodGet && method != http.MethodHead
	case http.StatusMovedPermanently, http.StatusFound:
		return method == http.MethodPost
	}
	return false
}

// asGet drops the body and the headers that describe it.
func (h hop) asGet() hop {
	h.method, h.body, h.header = http.MethodGet, nil, h.header.Clone()
	for name := range h.header {
		if strings.HasPrefix(name, "Content-") || name == "Digest" {
			h.header.Del(name)
		}
	}
	return h
}

// resolve reads Location against the URL that was asked. The raw text is checked first: resolving would escape what two parsers
// understand differently.
func resolve(base Target, location string) (Target, error) {
	if err := plainText(location); err != nil {
		return Target{}, err
	}
	ref, err := url.Parse(location)
	if err != nil {
		return Target{}, fmt.Errorf("it is not a URL (RFC 3986)")
	}
	return parseTarget(base.URL().ResolveReference(ref).String())
}

func only(h http.Header, names []string) http.Header {
	out := http.Header{}
	for _, name := range names {
		if v := h.Values(name); len(v) > 0 {
			out[name] = append([]string(nil), v...)
		}
	}
	return out
}
