package connection

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/requester"
)

// This file keeps the promise that a write at a vendor whose outcome is unknown is never blindly repeated. In order: a request
// that may be repeated is; the vendor recognises its key; the module finds out; a person decides.

// effectOf is the write of a recorded run that ctx serves. Nobody waits for the one of a call that is not recorded.
func effectOf(ctx context.Context) *plugin.HostCall {
	if h := plugin.HostCallOf(ctx); h != nil {
		return h
	}
	return &plugin.HostCall{}
}

// withKey lets the vendor recognise a repeated write: by the guest's own key, by that of the run, else by one of chance.
func (c *conn) withKey(r abi.HTTPRequest, key string) abi.HTTPRequest {
	if c.m.api == nil || c.m.api.Idempotency == nil {
		return r
	}
	i := c.m.api.Idempotency
	if !slices.Contains(i.Methods, strings.ToUpper(r.Method)) {
		return r
	}
	switch {
	case r.IdempotencyKey != "":
		key = r.IdempotencyKey
	case key == "":
		key = uuid.NewString()
	}
	if i.Header != "" && !hasHeader(r.Headers, i.Header) {
		r.Headers = maps.Clone(r.Headers)
		if r.Headers == nil {
			r.Headers = map[string]string{}
		}
		r.Headers[i.Header] = key
	}
	if i.Field != "" {
		r = withField(r, i.Field, key)
	}
	return r
}

func hasHeader(headers map[string]string, name string) bool {
	for n := range headers {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// withField puts the key into a body of fields, unless the guest did.
func withField(r abi.HTTPRequest, name, key string) abi.HTTPRequest {
	switch {
	case r.Form != nil:
		if !slices.ContainsFunc(r.Form, func(p abi.Pair) bool { return p.Name == name }) {
			r.Form = append(slices.Clone(r.Form), abi.Pair{Name: name, Value: key})
		}
	case len(r.JSON) > 0:
		var fields map[string]json.RawMessage
		if json.Unmarshal(r.JSON, &fields) != nil || fields == nil || fields[name] != nil {
			return r
		}
		fields[name], _ = json.Marshal(key)
		r.JSON, _ = json.Marshal(fields) // what was read can be written
	}
	return r
}

// repeatable reports that sending a request again does no harm: by its method (RFC 9110 section 9.2.2), by its author's word, or
// because the vendor still knows its key.
func (c *conn) repeatable(out *outgoing, effect *plugin.HostCall, r abi.HTTPRequest) bool {
	if harmless(out, r) {
		return true
	}
	if c.m.api == nil || c.m.api.Idempotency == nil || !slices.Contains(c.m.api.Idempotency.Methods, out.method) {
		return false
	}
	window := c.m.api.Idempotency.WindowS
	return effect.Unsure.IsZero() || window == 0 || int64(c.s.now().Sub(effect.Unsure).Seconds()) < window
}

// unclear reports that a refusal leaves open whether the request was acted on: it is that of a gateway behind which nobody
// answered (RFC 9110 sections 15.6.3 and 15.6.5), or one of the GET that followed it.
func unclear(res *requester.Response) bool {
	return res.Status == http.StatusBadGateway || res.Status == http.StatusGatewayTimeout || res.Moved
}

// harmless reports that a request may be sent again for ever.
func harmless(out *outgoing, r abi.HTTPRequest) bool {
	switch out.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return r.SafeToRepeat
}

// lost says what it means that a request was not answered, or not in a way that can be taken. Unless it certainly did not
// arrive or was refused, a recorded run stops here.
func (c *conn) lost(ctx context.Context, r abi.HTTPRequest, out *outgoing, effect *plugin.HostCall, err error) (abi.HTTPResponse, error) {
	var none abi.HTTPResponse
	var f *requester.Failure
	if effect.Key == "" || !errors.As(err, &f) || f.Sent == requester.Never {
		return none, err
	}
	if f.Sent == requester.Answered && f.Status >= 400 {
		effect.Resolved()
		return none, err
	}
	if f.Status != 0 && harmless(out, r) { // there is an answer, and the guest may know what to do
		effect.Resolved()
		return none, err
	}
	if c.repeatable(out, effect, r) {
		effect.Unresolved(err)
		return none, err
	}
	sent := *effect
	sent.Unsure = c.s.now()
	res, happened, asked := c.reconcile(ctx, r, &sent)
	if happened {
		return res, nil
	}
	if why, later := sent.Doubt(); why != nil && !later {
		effect.Undecided(err)
		return none, err
	}
	if asked == nil {
		asked = err // it did not happen: the next try sends it
	}
	effect.Unresolved(asked)
	return none, asked
}

// reconcile asks the module whether a request was acted on. Without an answer the run stops: a person decides when the module
// cannot know, and else the next try asks again.
func (c *conn) reconcile(ctx context.Context, r abi.HTTPRequest, effect *plugin.HostCall) (res abi.HTTPResponse, happened bool, err error) {
	if !c.m.Has(abi.ExportReconcileRequest) {
		return res, false, c.undecided(effect)
	}
	r.Role = ""
	out, err := guestCall[abi.ReconcileOutput](plugin.WithHostCall(ctx, nil), c, abi.ExportReconcileRequest, abi.ReconcileInput{
		Connection: c.describe(), Request: r, IdempotencyKey: effect.Key, SentAtMS: effect.Unsure.UnixMilli(),
	}, CallOptions{Handles: c.handles})
	switch {
	case fault.Is(err, fault.Unsupported) && fault.SideOf(err) == fault.Guest: // an SDK has the export for modules that do not
		return res, false, c.undecided(effect)
	case err != nil:
		effect.Unresolved(err)
		return res, false, err
	case out.Happened && out.Response != nil:
		return *out.Response, true, nil
	case out.Happened:
		return abi.HTTPResponse{Status: http.StatusOK, Headers: map[string][]string{}}, true, nil
	}
	return res, false, nil
}

func (c *conn) undecided(effect *plugin.HostCall) error {
	err := &fault.Error{
		Kind: fault.Conflict, Side: fault.Remote, Op: "connection.Send",
		Msg: c.m.name + " did not answer, and has no way to tell whether it acted on the request",
	}
	effect.Undecided(err)
	return err
}
