package snapshot

import "github.com/frigg-host/frigg-host/host/fault"

// refused is the system's refusal to give or take back memory.
func refused(op, msg string, err error) *fault.Error {
	return fault.New(fault.Exhausted, op, "%s; run fewer plugins at once or lower their memory limit", msg).With(err)
}

// misused is a bug of the caller.
func misused(op, msg string) *fault.Error { return fault.New(fault.Internal, op, "%s", msg) }
