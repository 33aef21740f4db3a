package requester

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// Response is what came back, whatever its status, free of the secrets that went out. It belongs to the caller.
type Response struct {
	Status int
	Header http.Header // canonical names; without those of Withheld, and without Content-Encoding if we decoded
	Body   []byte      // decoded, never nil
	URL    string      // the last one asked, after redirects, without credentials
	// Attempts is how often the request was started: 1, and one more for a resend and for a renewed credential.
	Attempts int
	// Moved says that the answer is to a GET to which another request was redirected: that one has been acted on.
	Moved bool
	// Withheld are headers by which the other side hands out credentials (Set-Cookie, Authorization..., and Request.Withhold),
	// as they came. They are for the room that keeps credentials and must not reach a guest.
	Withheld map[string][]secret.Text

	// trusted: the request carried the credential, so that a 401 speaks of it.
	trusted bool
}

// withheld: Set-Cookie opens a session in our name; some services send the next token in Authorization.
var withheld = []string{"Set-Cookie", "Set-Cookie2", "Authorization", "Authentication-Info", "Proxy-Authentication-Info"}

// read takes the answer to h in whole, within the limit.
func (c *call) read(h hop, res *http.Response) (*Response, error) {
	body, err := c.body(res)
	if err != nil {
		return nil, err
	}
	out := &Response{Status: res.StatusCode, Header: res.Header, Attempts: c.attempts, Moved: h.method != c.first.method, trusted: h.trusted}
	for _, name := range slices.Concat(withheld, c.withhold) {
		name = http.CanonicalHeaderKey(name)
		for _, v := range out.Header.Values(name) {
			if out.Withheld == nil {
				out.Withheld = map[string][]secret.Text{}
			}
			out.Withheld[name] = append(out.Withheld[name], secret.NewText(v))
		}
		out.Header.Del(name)
	}
	c.secrets.header(out.Header)
	if out.Body = c.secrets.bytes(body); len(out.Body) != len(body) {
		out.Header.Del("Content-Length")
	}
	out.URL = c.secrets.text(h.target.String())
	return out, nil
}

// body reads and decodes. The limit counts decoded bytes, so a small answer cannot become a big one.
func (c *call) body(res *http.Response) ([]byte, error) {
	encoding := strings.ToLower(res.Header.Get("Content-Encoding"))
	var from io.Reader = res.Body
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols: // its body is a connection that outlives the request's context
		return nil, &fault.Error{Kind: fault.Unsupported, Side: fault.Remote, Msg: c.host + " switches protocols, which was not asked for"}
	case res.Body == http.NoBody || res.ContentLength == 0:
		return []byte{}, nil
	case encoding == "" || encoding == "identity":
		if res.ContentLength > c.maxBody {
			return nil, c.tooLarge()
		}
	case encoding == "gzip" || encoding == "x-gzip":
		decoded, err := gzip.NewReader(res.Body)
		if err == io.EOF {
			return []byte{}, nil
		}
		if err != nil {
			return nil, err
		}
		from = decoded
		res.Header.Del("Content-Encoding")
		res.Header.Del("Content-Length")
	default: // nobody asked for it, and what cannot be read cannot be scrubbed
		return nil, &fault.Error{
			Kind: fault.Unsupported, Side: fault.Remote,
			Msg: fmt.Sprintf("%s answers in the encoding %.40q, which was not asked for", c.host, encoding),
		}
	}
	body, err := io.ReadAll(io.LimitReader(from, c.maxBody+1))
	if err == nil && int64(len(body)) > c.maxBody {
		return nil, c.tooLarge()
	}
	return body, err
}

func (c *call) tooLarge() error {
	return &fault.Error{
		Kind: fault.TooLarge, Side: fault.Remote,
		Msg: fmt.Sprintf("the answer of %s has more than %d bytes: ask for less at a time, or allow more", c.host, c.maxBody),
	}
}

const drainable = 4 << 10

// drain reads a short answer that nobody wants, so that the connection can be used again.
func drain(res *http.Response) {
	if res.ContentLength > 0 && res.ContentLength <= drainable {
		_, _ = io.CopyN(io.Discard, res.Body, res.ContentLength)
	}
}
