//go:build !wasip1

package wire

import (
	"log/slog"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

// Fake plays the host on the author's machine.
type Fake interface {
	// Serve answers a host function with the bytes of an abi.Answer.
	Serve(capability, function string, request []byte) []byte
	// Log takes a line of the guest.
	Log(level slog.Level, text string)
}

// Host is the way to the host's functions: a Fake, or nil where there is none.
type Host struct{ Fake Fake }

func (h Host) log(level slog.Level, text string) {
	if h.Fake != nil {
		h.Fake.Log(level, text)
	}
}

// call sends a request to a host function and reads its answer, both as bytes, as a guest would.
func call[T any](h Host, capability, function string, request any) (T, error) {
	var none T
	b, err := Marshal(request)
	if err != nil {
		return none, err
	}
	if h.Fake == nil {
		return none, frigg.Unsupported("%s.%s: no host here; tests get one from package friggtest", capability, function)
	}
	return DecodeAnswer[T](h.Fake.Serve(capability, function, b))
}
