package requester

import (
	"context"
	"net/http"
	"net/url"

	"github.com/frigg-host/frigg-host/host/secret"
)

// Authorizer puts one credential on requests. The requester does not know whose it is.
//
// It is called only for the origin (scheme, host, port) of the request that was asked for, never after a redirect has left
// that origin, also not if a further redirect leads back, and never where the rule says Anonymous.
// One Do uses its Authorizer from one goroutine.
type Authorizer interface {
	// Authorize adds the credential to out, once for each request that goes to the wire. It returns every secret that is now
	// in out, so that answers can be scrubbed of them: the value itself and, where the value is combined before encoding
	// (basic authentication, a JSON string), that is enough; where it is hashed or signed, the result too.
	Authorize(ctx context.Context, out *Outgoing) ([]secret.Text, error)
	// Renew is called at most once, after a 401 to a request with the credential. True means that the credential has changed
	// and one more try makes sense; false returns the 401. rejected is already scrubbed and must not be changed.
	Renew(ctx context.Context, rejected *Response) (bool, error)
}

// Outgoing is one request about to be sent. The Authorizer may change the path and query of URL (not its scheme, host or
// port), any header but those of message framing (Host, Content-Length, Connection...), and the whole Body. All of it belongs
// to this one request.
type Outgoing struct {
	Method string // for signatures; changes are ignored
	URL    *url.URL
	Header http.Header
	Body   []byte // must be replaced, not changed in place
}
