package module

import (
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Doubt is a write that nobody answered: the vendor may have acted on it, or not.
type Doubt struct {
	Request abi.HTTPRequest
	Key     string    // its idempotency key, if the vendor takes one
	SentAt  time.Time // not before
}

// Answer is what the vendor answered, or would have: the body of a 2xx.
type Answer = abi.HTTPResponse

var reconcile func(*Call, Doubt) (*Answer, error)

// Reconcile registers what finds out whether a write happened, for instance by looking for what it would have made: its answer
// if it did, nil if it did not. Only then it is sent again. Without it a person is asked. An error means that it could not be
// found out now.
func Reconcile(f func(*Call, Doubt) (*Answer, error)) {
	wire.Declare("export", abi.ExportReconcileRequest)
	reconcile = f
}

func askReconcile(h wire.Host, in abi.ReconcileInput) (abi.ReconcileOutput, error) {
	if reconcile == nil {
		return abi.ReconcileOutput{}, frigg.Unsupported("this module has no handler for Reconcile")
	}
	d := Doubt{Request: in.Request, Key: in.IdempotencyKey, SentAt: time.UnixMilli(in.SentAtMS).UTC()}
	answer, err := reconcile(&Call{Connection: in.Connection, host: h}, d)
	if err != nil {
		return abi.ReconcileOutput{}, err
	}
	return abi.ReconcileOutput{Happened: answer != nil, Response: answer}, nil
}
