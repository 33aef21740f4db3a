package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

// serve decodes a request of at most limit bytes, calls the capability and encodes its answer.
func serve[Q, R any](ctx context.Context, request []byte, limit int, f func(context.Context, Q) (R, error)) []byte {
	if len(request) > limit {
		return refuse(&fault.Error{
			Kind: fault.TooLarge, Side: fault.Guest, Op: "plugin.Serve",
			Msg: fmt.Sprintf("the request has %d bytes; this function takes at most %d", len(request), limit),
		})
	}
	var q Q
	if err := Decode(request, &q); err != nil {
		return refuse(notDecoded(err))
	}
	r, err := f(ctx, q)
	if err != nil {
		return refuse(err)
	}
	if b, ok := encodeMessage([]byte(`{"value":`), r); ok {
		return append(b, '}')
	}
	value, err := json.Marshal(r)
	if err != nil {
		return refuse(fault.Wrap(err, fault.Internal, "plugin.Serve", "the answer could not be encoded"))
	}
	return encode(abi.Answer{Value: value})
}

// encodeMessage appends a message of the contract; false leaves it to encoding/json.
func encodeMessage(b []byte, message any) ([]byte, bool) {
	if m, ok := message.(interface {
		AppendJSON([]byte) ([]byte, bool)
	}); ok {
		return m.AppendJSON(b)
	}
	return b, false
}

// notDecoded says why a request could not be decoded.
func notDecoded(err error) error {
	if fault.Is(err, fault.TooLarge) {
		return &fault.Error{Kind: fault.TooLarge, Side: fault.Guest, Op: "plugin.Serve", Msg: "the request is too large: " + fault.PublicMessage(err), Err: err}
	}
	return &fault.Error{Kind: fault.Invalid, Side: fault.Guest, Op: "plugin.Serve", Msg: "the request does not have the contract's shape: " + shape(err)}
}

func refuse(err error) []byte {
	f := FaultOf(err)
	return encode(abi.Answer{Fault: &f})
}

func encode(a abi.Answer) []byte {
	b, err := json.Marshal(a)
	if err != nil { // only a RawMessage that is not JSON can do this
		return []byte(`{"fault":{"kind":"internal","side":"host","message":"the answer could not be encoded"}}`)
	}
	return b
}

func notGranted(capability string) error {
	return &fault.Error{
		Kind: fault.Forbidden, Side: fault.Guest, Op: "plugin.Serve",
		Msg: "capability " + capability + " is not granted for this call",
	}
}

func unsupported(capability, function string) error {
	return &fault.Error{
		Kind: fault.Unsupported, Side: fault.Host, Op: "plugin.Serve",
		Msg: capability + "." + function + " is not offered by this host",
	}
}

// FaultOf turns an error into what a guest may know of it: kind, side, public message.
func FaultOf(err error) abi.Fault {
	f := abi.Fault{
		Kind: abi.FaultKind(fault.KindOf(err)), Side: abi.FaultSide(fault.SideOf(err)),
		Message: fault.PublicMessage(err), RetryAfterMS: fault.RetryAfterOf(err).Milliseconds(),
	}
	var s *Status
	if errors.As(err, &s) {
		f.Status = int64(s.Code)
	}
	var h *Halt
	if errors.As(err, &h) {
		f.Halt = true
	}
	return f
}

// Status is the cause inside an error that came of a vendor's HTTP answer.
type Status struct{ Code int }

func (s *Status) Error() string { return "HTTP status of the vendor" }

// Halt is the cause inside an error of a guest that asks not to be tried again.
type Halt struct{}

func (*Halt) Error() string { return "the guest asks not to be tried again" }

// longestWait bounds how long a guest can put a try off.
const longestWait = 30 * 24 * time.Hour

// ErrorOf turns a guest's fault into an error. An unknown kind counts as internal, a missing side as the guest's, and
// nobody waits for more than 30 days.
func ErrorOf(op, plugin string, f abi.Fault) error {
	e := &fault.Error{
		Kind: fault.Kind(f.Kind), Side: fault.Side(f.Side), Op: op, Msg: "guest " + plugin + ": " + f.Message,
		RetryAfter: time.Duration(min(max(0, f.RetryAfterMS), longestWait.Milliseconds())) * time.Millisecond,
	}
	if !f.Kind.Valid() {
		e.Kind = fault.Internal
	}
	if !f.Side.Valid() {
		e.Side = fault.Guest
	}
	var causes []error
	if f.Status != 0 {
		causes = append(causes, &Status{Code: int(f.Status)})
	}
	if f.Halt {
		causes = append(causes, &Halt{})
	}
	e.Err = errors.Join(causes...)
	return e
}
