package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest"
)

// column is one way to call a guest.
type column struct {
	name, what string
	open       func(ctx context.Context, s *sample) (caller, error)
}

// caller calls one guest, from one goroutine. Its output is valid until the next call.
type caller interface {
	call(export string, input []byte) ([]byte, error)
	close() error
}

// Names of columns that others are compared with.
const (
	nameOurs          = "ours"
	nameRaw           = "raw_pooled"
	nameExtismPooled  = "extism_pooled"
	nameExtismFresh   = "extism_fresh"
	nameExtismWithout = "extism_no_timeout"
)

var columns = []column{
	{nameOurs, "this engine: a clean instance for each call, fuel, deadline", openOurs},
	{nameRaw, "wazero: one instance for all calls, no bounds, exports resolved once", openRawPooled},
	{"raw_fuel", "the same with our fuel alone", openRawFuel},
	{"raw_restore", "the same with our restore after each call alone", openRawRestore},
	{"raw_fresh", "wazero: a new instance for each call, no bounds", openRawFresh},
	{nameExtismPooled, "Extism go-sdk: one instance for all calls, with a timeout", openExtismPooled},
	{nameExtismWithout, "the same without a timeout, as it is by default", openExtismWithout},
	{nameExtismFresh, "Extism go-sdk: a new instance for each call, with a timeout", openExtismFresh},
	{"native", "a Go function of the host", openNativeFunction},
	{"go_plugin", "hashicorp/go-plugin: another process over gRPC", openGoPlugin},
}

// timeout is the deadline of calls where there is one. It never passes.
const timeout = 10 * time.Second

// isCapability tells our capabilities from what moves bytes.
func isCapability(module string) bool {
	return strings.HasPrefix(module, abi.ModulePrefix) && module != abi.BulkModule
}

// ours is a module of the engine.
type ours struct {
	engine guest.Engine
	module guest.Module
}

func openOurs(ctx context.Context, s *sample) (caller, error) {
	imports, err := s.capabilities()
	if err != nil {
		return nil, err
	}
	e, err := guest.OpenNative(ctx, guest.Config{Imports: imports})
	if err != nil {
		return nil, err
	}
	m, err := e.Compile(ctx, s.wasm)
	if err != nil {
		return nil, err
	}
	if d := m.Describe(); d.Why != "" {
		return nil, fmt.Errorf("%s would not be measured as intended: %s, %s", s.name, d.Isolation, d.Why)
	}
	return &ours{e, m}, nil
}

func (o *ours) call(export string, input []byte) ([]byte, error) {
	r, err := o.module.Call(context.Background(), guest.Call{
		Plugin: "bench", Export: export, Input: input, Limits: guest.Limits{Timeout: timeout}, Host: reply,
	})
	return r.Output, err
}

func (o *ours) close() error { return o.engine.Close(context.Background()) }

func reply(context.Context, guest.Import, []byte) []byte { return answer }
