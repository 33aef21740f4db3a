package integration

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// RouteRequest is a request on a route as a client sent it.
type RouteRequest struct {
	Method string
	Path   string // below the integration, percent-encoded
	Header http.Header
	Query  url.Values
	Body   []byte // raw, at most abi.LimitRouteRequestBytes
}

// Bounds of an answer's headers, beside which its body has abi.LimitRouteReplyBytes.
const (
	maxReplyHeaders     = 100
	maxReplyHeaderBytes = 32 << 10
)

// FindRoute finds what stands at a path of an integration, percent-encoded and with a slash in front. It reads no store. The
// match has no Route if the path takes other methods. Errors: NotFound (integration, path), Unavailable (the plugin cannot
// serve).
func (s *Service) FindRoute(pluginName, method, path string) (RouteMatch, error) {
	const op = "integration.FindRoute"
	p, err := s.Plugins.Plugin(pluginName)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && p.Kind != abi.PluginKindIntegration:
		return RouteMatch{}, fault.New(fault.NotFound, op, "no such integration")
	case err != nil: // it waits for approval or is broken: whoever calls learns no more
		return RouteMatch{}, fault.New(fault.Unavailable, op, "the integration %s does not serve", pluginName).With(err)
	}
	m, ok := s.routesOf(p).match(method, path)
	if !ok {
		return RouteMatch{}, fault.New(fault.NotFound, op, "the integration %s has no route at this path", pluginName)
	}
	return m, nil
}

// routesOf is the table of a version that serves. It is made again when another version does.
func (s *Service) routesOf(p *plugin.Plugin) *routeTable {
	if t, ok := s.tables.Load(p.Name); ok && t.(*routeTable).plugin == p {
		return t.(*routeTable)
	}
	t := newRouteTable(p, logTo(s.Log.With("plugin", p.Name)))
	s.tables.Store(p.Name, t)
	return t
}

// AnswerRoute lets the guest answer a request on the route of m. The actor is the zero one on routes that are open to
// anybody. On a route of a record the guest may reach what is that record's, on others nothing. Errors: NotFound (the
// record), Conflict (a record that is paused or not ready), and those of the guest, on its side.
func (s *Service) AnswerRoute(ctx context.Context, a account.Actor, m RouteMatch, q RouteRequest) (abi.HTTPReply, error) {
	if m.Route.Auth != abi.RouteAuthNone {
		if err := a.Valid(); err != nil {
			return abi.HTTPReply{}, err
		}
	}
	in := routeInput(m, q)
	call := plugin.Call{Plugin: m.Route.plugin, Export: abi.ExportHandleRoute, Timeout: syncTimeout, Log: m.Route.log}
	if m.Route.OfRecord() {
		r, record, err := s.runRoute(ctx, a, m)
		if err != nil {
			return abi.HTTPReply{}, err
		}
		in.Integration, call = &record, r.call(abi.ExportHandleRoute)
	}
	reply, err := plugin.Invoke[abi.HTTPReply](ctx, s.Guests, call, in)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	return reply, boundedReply(m.Route, reply)
}

// runRoute prepares a call for the record that the path names.
func (s *Service) runRoute(ctx context.Context, a account.Actor, m RouteMatch) (*run, abi.Integration, error) {
	in, err := s.Integration(ctx, a, m.ID())
	if err != nil {
		return nil, abi.Integration{}, err
	}
	p := m.Route.plugin
	if in.Plugin != p.Name {
		return nil, abi.Integration{}, notFound()
	}
	if !actsIn(in.Status, "") {
		return nil, abi.Integration{}, fault.New(fault.Conflict, "integration.AnswerRoute", "the integration is %s; its routes answer when it is ENABLED", in.Status)
	}
	return s.newRun(ctx, p, in, syncTimeout)
}

// routeInput is what the guest is told of a request.
func routeInput(m RouteMatch, q RouteRequest) abi.RouteInput {
	in := abi.RouteInput{Event: m.Route.Event, Method: q.Method, Path: q.Path, Params: m.Params, Query: q.Query, Headers: routeHeaders(q.Header)}
	if in.Method == http.MethodHead {
		in.Method = http.MethodGet
	}
	if utf8.Valid(q.Body) {
		in.Text = string(q.Body)
	} else {
		in.Bytes = q.Body
	}
	return in
}

// routeHeaders keeps what is meant for the guest.
func routeHeaders(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		if low := strings.ToLower(name); !ofHost(low) {
			out[low] = strings.Join(values, ", ")
		}
	}
	return out
}

// ofHost reports that a header is not for guests: it carries a credential for this host, belongs to the connection (RFC 9110,
// section 7.6.1), or says what only a trusted proxy may.
func ofHost(name string) bool {
	switch name {
	case "authorization", "cookie", "proxy-authorization", "x-api-key",
		"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
		"forwarded", "x-real-ip", "x-request-id":
		return true
	}
	return strings.HasPrefix(name, "x-frigg-") || strings.HasPrefix(name, "x-forwarded-")
}

// boundedReply refuses an answer that is larger than a route's may be.
func boundedReply(r *Route, reply abi.HTTPReply) error {
	refuse := func(format string, args ...any) error {
		e := fault.New(fault.TooLarge, "integration.AnswerRoute", format, args...).On(fault.Guest)
		e.Msg = "guest " + r.plugin.Name + ": " + r.Name() + " " + e.Msg
		return e
	}
	if n := max(len(reply.Text), len(reply.Bytes)); n > abi.LimitRouteReplyBytes {
		return refuse("answers with %d bytes, at most %d are allowed", n, abi.LimitRouteReplyBytes)
	}
	size := 0
	for name, value := range reply.Headers {
		size += len(name) + len(value)
	}
	if len(reply.Headers) > maxReplyHeaders || size > maxReplyHeaderBytes {
		return refuse("answers with %d headers of %d bytes, at most %d of %d are allowed", len(reply.Headers), size, maxReplyHeaders, maxReplyHeaderBytes)
	}
	return nil
}
