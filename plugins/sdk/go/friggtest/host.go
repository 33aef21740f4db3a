//go:build !wasip1

package friggtest

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// ErrKilled says that the guest was killed on the way, as asked for.
var ErrKilled = errors.New("friggtest: the guest was killed")

// Host is what modules and integrations have in common. Its fields are open to tests.
type Host struct {
	t testing.TB
	// Storage holds the JSON of what was stored.
	Storage map[string]string
	// Logs are the lines that the guest logged, as "LEVEL text".
	Logs []string
	// Calls are the host functions that were called, as "capability.function", oldest first.
	Calls []string

	points map[string][]interruption
	serve  func(capability, function string, request []byte) ([]byte, bool)
}

// interruption is what happens instead of, or after, a host function.
type interruption struct {
	fault       error
	kill, after bool
}

func newHost(t testing.TB) Host {
	if t == nil {
		t = example{}
	}
	return Host{t: t, Storage: map[string]string{}, points: map[string][]interruption{}}
}

// example stands in for a test in examples, which have none.
type example struct{ testing.TB }

func (example) Helper()           {}
func (example) Log(...any)        {}
func (example) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// Fail lets the next call of a host function ("mapping.put") answer err instead of doing anything.
func (h *Host) Fail(function string, err error) { h.interrupt(function, interruption{fault: err}) }

// KillBefore ends the guest at its next call of a host function, which is not done.
func (h *Host) KillBefore(function string) { h.interrupt(function, interruption{kill: true}) }

// KillAfter ends the guest after its next call of a host function, which is done; the guest never learns of it.
func (h *Host) KillAfter(function string) {
	h.interrupt(function, interruption{kill: true, after: true})
}

// Pass lets the next call of a host function be served as usual, so that a later one can be chosen.
func (h *Host) Pass(function string) { h.interrupt(function, interruption{}) }

func (h *Host) interrupt(function string, i interruption) {
	h.points[function] = append(h.points[function], i)
}

// Serve answers a host function; it is the side that the SDK sees.
func (h *Host) Serve(capability, function string, request []byte) []byte {
	name := capability + "." + function
	h.Calls = append(h.Calls, name)
	i := h.next(name)
	switch {
	case i.fault != nil:
		return refuse(i.fault)
	case i.kill && !i.after:
		runtime.Goexit()
	}
	answer, ok := h.serve(capability, function, request)
	if !ok {
		answer, ok = h.serveCommon(capability, function, request)
	}
	if !ok {
		return refuse(frigg.Unsupported("friggtest: %s has no answer here", name))
	}
	if i.kill {
		runtime.Goexit()
	}
	return answer
}

func (h *Host) next(name string) (i interruption) {
	if waiting := h.points[name]; len(waiting) > 0 {
		i, h.points[name] = waiting[0], waiting[1:]
	}
	return i
}

// Log takes a line of the guest; it is the side that the SDK sees.
func (h *Host) Log(level slog.Level, text string) {
	h.Logs = append(h.Logs, level.String()+" "+text)
	h.t.Log(level, text)
}

// run calls an export in a goroutine that may be killed.
func run[Out any](h *Host, export string, in any) (Out, error) {
	h.t.Helper()
	var out Out
	input, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	answers := make(chan []byte, 1)
	go func() {
		defer close(answers)
		answers <- wire.Answer(wire.Host{Fake: h}, export, input)
	}()
	answer, ok := <-answers
	if !ok {
		return out, ErrKilled
	}
	return wire.DecodeAnswer[Out](answer)
}

func (h *Host) serveCommon(capability, function string, request []byte) ([]byte, bool) {
	switch capability + "." + function {
	case "storage.get":
		return serve(request, func(q abi.StorageGet) (abi.StorageValue, error) {
			v, ok := h.Storage[q.Key]
			return abi.StorageValue{Found: ok, Value: json.RawMessage(v)}, nil
		}), true
	case "storage.put":
		return serve(request, func(q abi.StoragePut) (abi.Empty, error) {
			h.Storage[q.Key] = string(q.Value)
			return abi.Empty{}, nil
		}), true
	case "storage.delete":
		return serve(request, func(q abi.StorageDelete) (abi.Empty, error) {
			delete(h.Storage, q.Key)
			return abi.Empty{}, nil
		}), true
	case "storage.list":
		return serve(request, h.listStorage), true
	case "crypto.hmac_sign":
		return serve(request, func(q abi.HMACSign) (abi.HMACSignature, error) {
			return abi.HMACSignature{Signature: Sign(frigg.Handle(q.Secret), q.Message)}, nil
		}), true
	case "crypto.hmac_verify":
		return serve(request, func(q abi.HMACVerify) (abi.HMACVerdict, error) {
			return abi.HMACVerdict{Valid: hmac.Equal(q.Signature, Sign(frigg.Handle(q.Secret), q.Message))}, nil
		}), true
	}
	return nil, false
}

// Sign is how this host signs: HMAC-SHA256 with the text of the handle as the secret behind it.
func Sign(secret frigg.Handle, message []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(message)
	return mac.Sum(nil)
}

func (h *Host) listStorage(q abi.StorageList) (abi.StorageKeys, error) {
	keys := slices.Sorted(maps.Keys(h.Storage))
	keys = slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, q.Prefix) || k <= q.After })
	keys, more := firstOf(keys, q.Limit)
	return abi.StorageKeys{Keys: keys, More: more}, nil
}

// firstOf cuts a list to limit rows, 100 by default.
func firstOf[T any](rows []T, limit int64) ([]T, bool) {
	n := int(cmp.Or(limit, 100))
	if len(rows) <= n {
		return rows, false
	}
	return rows[:n], true
}

// serve decodes a request strictly, calls f and encodes the answer.
func serve[Q, R any](request []byte, f func(Q) (R, error)) []byte {
	var q Q
	if err := json.Unmarshal(request, &q); err != nil {
		return refuse(fmt.Errorf("friggtest: a request that is not the contract's: %w", err))
	}
	r, err := f(q)
	if err != nil {
		return refuse(err)
	}
	return wire.Encode(r, nil)
}

func refuse(err error) []byte { return wire.Encode(nil, err) }
