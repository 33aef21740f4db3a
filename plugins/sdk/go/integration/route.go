package integration

import (
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Request is a request on a route of the manifest. Body is its JSON; with a Body of type string it is the text as it came, with
// []byte its bytes.
type Request[T any] struct {
	Method string              // GET also for HEAD
	Path   string              // below the integration, percent-encoded
	Param  map[string]string   // of the path
	Query  map[string][]string // in the order in which they came
	Header map[string]string   // lower case, without credentials for the host
	Body   T
}

// QueryValue returns the first value of a query parameter, or nothing.
func (r Request[T]) QueryValue(name string) string {
	if values := r.Query[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

var routes = map[string]func(*Call, abi.RouteInput) (Reply, error){}

// Route registers what answers a route of the manifest: its event, or its method and path as declared.
//
//	integration.Route("POST /orders/:id", func(c *integration.Call, r integration.Request[order]) (integration.Reply, error) {
//		return integration.ReplyJSON(200, receipt{r.Param["id"]})
//	})
//
// It has to be quick: somebody waits. A body of another shape is refused with status 400, a fault with the status of its kind.
// With :integrationId in the path c works for that record; otherwise there is no record, and all that c can do is log.
func Route[T any](name string, f func(*Call, Request[T]) (Reply, error)) {
	wire.Declare("route", name)
	wire.Prepare[T]()
	routes[name] = func(c *Call, in abi.RouteInput) (Reply, error) {
		r := Request[T]{Method: in.Method, Path: in.Path, Param: in.Params, Query: in.Query, Header: in.Headers}
		if err := readBody(in, &r.Body); err != nil {
			return Reply{}, err
		}
		return f(c, r)
	}
}

// RouteJSON registers what answers a route with status 200 and a value as JSON. It is quicker than Route with ReplyJSON, since
// the shape of the answer is known before there is a call.
//
//	integration.RouteJSON("GET /orders/:id", func(c *integration.Call, r integration.Request[frigg.None]) (order, error) {
//		return find(c, r.Param["id"])
//	})
func RouteJSON[In, Out any](name string, f func(*Call, Request[In]) (Out, error)) {
	wire.Prepare[Out]()
	Route(name, func(c *Call, r Request[In]) (Reply, error) {
		out, err := f(c, r)
		if err != nil {
			return Reply{}, err
		}
		return ReplyJSON(200, out)
	})
}

func readBody(in abi.RouteInput, body any) error {
	switch b := body.(type) {
	case *frigg.None:
		return nil
	case *string:
		if *b = in.Text; *b == "" {
			*b = string(in.Bytes)
		}
		return nil
	case *[]byte:
		if *b = in.Bytes; len(*b) == 0 {
			*b = []byte(in.Text)
		}
		return nil
	}
	if in.Text == "" {
		return wire.Decode(in.Bytes, body, "the body")
	}
	return wire.Decode([]byte(in.Text), body, "the body")
}

// ReplyText answers with text.
func ReplyText(status int, text string) (Reply, error) {
	return Reply{Status: int64(status), Text: text}, nil
}

// ReplyBytes answers with a body of any kind.
func ReplyBytes(status int, contentType string, body []byte) (Reply, error) {
	r := Reply{Status: int64(status), Headers: map[string]string{"content-type": contentType}}
	if utf8.Valid(body) {
		r.Text = string(body)
	} else {
		r.Bytes = body
	}
	return r, nil
}

// ReplyJSON answers with a value. One that has a method AppendJSON([]byte) ([]byte, bool) writes itself, which is quicker than
// reflection; in the same way one with ReadJSON([]byte) bool is read as a Body.
func ReplyJSON(status int, value any) (Reply, error) {
	b, err := wire.Marshal(value)
	return Reply{Status: int64(status), Headers: map[string]string{"content-type": "application/json"}, Text: string(b)}, err
}

func handleRoute(h wire.Host, in abi.RouteInput) (abi.HTTPReply, error) {
	f, ok := routes[in.Event]
	if !ok {
		return Reply{}, frigg.Unsupported("the route %s has no handler", in.Event)
	}
	c := &Call{host: h}
	if in.Integration != nil {
		c.Integration = *in.Integration
	}
	return f(c, in)
}
