// Package plugin knows which plugins are installed, what they ask for and what was granted, and owns the words in which
// a guest is called: Call, Capabilities, Caller.
//
// It does not know how a guest runs (host/guest does) nor who owns the data behind a capability. Everything here is safe
// for concurrent use unless a comment says otherwise.
package plugin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

// Digest identifies the bytes of a `.wasm` file: "sha256:" and 64 hexadecimal digits.
type Digest string

// State of an installed plugin.
type State string

const (
	Ready         State = "ready"          // serves calls
	NeedsApproval State = "needs_approval" // waits for an operator's grant
	Loading       State = "loading"        // is approved and being compiled
	Broken        State = "broken"         // Problem says why
)

// Plugin is one version of an installed plugin. It is immutable: treat it as read-only.
type Plugin struct {
	Name     string
	Version  string
	Digest   Digest
	Kind     abi.PluginKind
	Manifest abi.Manifest
	State    State
	Problem  string // for people, when State is not Ready
	File     string // base name in the plugins folder
	Size     int64
	// Exports are the contract's exports that the module has.
	Exports []string
}

// Has reports whether the module exports this function of the contract.
func (p *Plugin) Has(export string) bool {
	for _, e := range p.Exports {
		if e == export {
			return true
		}
	}
	return false
}

// Catalog finds installed plugins.
type Catalog interface {
	// Plugin returns the version that serves new work under this name. Errors: NotFound; Forbidden when it waits for
	// approval; Unavailable when it is broken. The message says what to do.
	Plugin(name string) (*Plugin, error)
	// ByDigest returns an installed version, whatever its state, or NotFound.
	ByDigest(d Digest) (*Plugin, error)
	// Plugins lists the versions that serve or would serve, sorted by name.
	Plugins() []*Plugin
}

// Call is one call of a guest.
type Call struct {
	Plugin *Plugin
	Export string          // one of the contract's exports
	Input  json.RawMessage // the export's input message
	Can    Capabilities
	// Timeout of the whole call, capabilities included; zero is the default of the contract.
	Timeout time.Duration
	// Log receives the guest's log lines; nil discards them.
	Log func(level, message string)
	// Journal records the call, or repeats one that was recorded; nil does neither.
	Journal Journal
}

// Caller runs guests: a clean instance for every call.
type Caller interface {
	// Call returns the value of the guest's Answer. A fault in the answer comes back as *fault.Error on side Guest
	// (or the side that the guest names), as do traps, limits and deadlines.
	Call(ctx context.Context, c Call) (json.RawMessage, error)
}

// Invoke calls an export with typed input and output.
func Invoke[Out any](ctx context.Context, caller Caller, c Call, in any) (Out, error) {
	var out Out
	input, ok := encodeMessage(nil, in)
	if !ok {
		var err error
		if input, err = json.Marshal(in); err != nil {
			return out, fault.Wrap(err, fault.Internal, "plugin.Invoke", "the input could not be encoded")
		}
	}
	c.Input = input
	return Run[Out](ctx, caller, c)
}

// Run calls an export with the input that c has, and typed output.
func Run[Out any](ctx context.Context, caller Caller, c Call) (Out, error) {
	var out Out
	value, err := caller.Call(ctx, c)
	if err != nil {
		return out, err
	}
	if len(value) == 0 {
		return out, nil
	}
	switch err := Decode(value, &out); {
	case fault.Is(err, fault.TooLarge):
		return out, &fault.Error{
			Kind: fault.TooLarge, Side: fault.Guest, Op: "plugin.Invoke",
			Msg: "guest " + c.Plugin.Name + ": the answer of " + c.Export + " is too large: " + fault.PublicMessage(err), Err: err,
		}
	case err != nil:
		return out, &fault.Error{
			Kind: fault.Internal, Side: fault.Guest, Op: "plugin.Invoke",
			Msg: "guest " + c.Plugin.Name + ": " + c.Export + " answered something else than the contract's message", Err: err,
		}
	}
	return out, nil
}
