package requester

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

const maxHeaderBytes = 64 << 10

// Request is what a caller asks for. Do never changes it.
type Request struct {
	Method string // "" is GET; CONNECT and TRACE are refused
	URL    string // absolute; see ParseTarget
	// Header must not hold credentials (Authorization, Cookie, Proxy-*: they come from an Authorizer) nor message framing
	// (Host, Content-Length, Connection, Accept-Encoding...: they are ours). Do refuses them by name.
	Header http.Header
	Body   []byte

	Timeout          time.Duration // for the whole call with waiting, retries and redirects; 0 = Config.Timeout, at most Config.MaxTimeout
	MaxResponseBytes int64         // of the body after decompression; 0 = 10 MiB, at most Config.MaxResponseBytes
	NoRedirects      bool          // return a 3xx instead of following it
	// Withhold names further headers of the answer by which this service hands out credentials: see Response.Withheld.
	Withhold []string
}

// hop is one request of a chain of redirects, before the credential is added.
type hop struct {
	method string
	target Target
	header http.Header
	body   []byte
	// trusted means that the credential belongs here.
	trusted bool
}

// framing headers describe the message on this one connection (RFC 9110 section 7.6.1); they are written by us alone.
var framing = map[string]bool{
	"Accept-Encoding": true, "Connection": true, "Content-Length": true, "Expect": true, "Host": true, "Http2-Settings": true,
	"Keep-Alive": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

func isCredentialHeader(name string) bool {
	return name == "Authorization" || name == "Cookie" || name == "Cookie2" || strings.HasPrefix(name, "Proxy-")
}

func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "requester.Do", format, args...).On(fault.Guest)
}

// firstHop checks req and brings it into canonical form.
func (c Config) firstHop(req Request) (hop, error) {
	method := strings.ToUpper(req.Method)
	if method == "" {
		method = http.MethodGet
	}
	if !isToken(method) || method == http.MethodConnect || method == http.MethodTrace {
		return hop{}, invalid("the method %.20q cannot be sent", req.Method)
	}
	target, err := ParseTarget(req.URL)
	if err != nil {
		return hop{}, err
	}
	header, err := checkedHeader(req.Header)
	if err != nil {
		return hop{}, err
	}
	if int64(len(req.Body)) > c.MaxRequestBytes {
		return hop{}, fault.New(fault.TooLarge, "requester.Do", "the request body has %d bytes; at most %d are sent", len(req.Body), c.MaxRequestBytes).On(fault.Guest)
	}
	return hop{method: method, target: target, header: header, body: req.Body}, nil
}

// checkedHeader returns a canonical copy of h, or a fault that names every header that may not be there.
func checkedHeader(h http.Header) (http.Header, error) {
	out, size := make(http.Header, len(h)), 0
	var ours []string
	for name, values := range h {
		if !isToken(name) {
			return nil, invalid("the header name %.50q is not valid", name)
		}
		canonical := http.CanonicalHeaderKey(name)
		if framing[canonical] || isCredentialHeader(canonical) {
			ours = append(ours, canonical)
		}
		for _, v := range values {
			if !isFieldValue(v) {
				return nil, invalid("the value of header %s has control characters", canonical)
			}
			out.Add(canonical, v)
			size += len(canonical) + len(v)
		}
	}
	if len(ours) > 0 {
		slices.Sort(ours)
		return nil, invalid("only the host sets %s: leave it out", strings.Join(ours, ", "))
	}
	if size > maxHeaderBytes {
		return nil, fault.New(fault.TooLarge, "requester.Do", "the request headers have %d bytes; at most %d are sent", size, maxHeaderBytes).On(fault.Guest)
	}
	return out, nil
}

// isToken is RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isFieldValue is RFC 9110 section 5.5.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// repeatable reports that a request may be sent twice (RFC 9110 section 9.2.2); an idempotency key makes any request so.
func repeatable(method string, header http.Header) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return header.Get("Idempotency-Key") != "" || header.Get("X-Idempotency-Key") != ""
}
