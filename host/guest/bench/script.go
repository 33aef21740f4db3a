package main

import (
	"bytes"
	_ "embed"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest/bench/order"
	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
)

//go:embed guests/js/program.js
var programSource string

// openScript packs the guest in JavaScript. Its inputs are JSON, of the same lengths as those of the others.
func openScript() (sample, error) {
	s := sample{name: "js", rows: []row{
		{"noop", "noop", []byte("{}")},
		{"echo_1KiB", "echo", quoted(1 << 10)},
		{"echo_64KiB", "echo", quoted(1 << 16)},
		{"host_call", "ask", question},
		{"json_1KiB", "json", order.Example()},
	}}
	var err error
	if s.wasm, err = quickjs.New([]string{"noop", "echo", "ask", "json"}, programSource).Module(); err != nil {
		return s, err
	}
	s.plain = s.wasm
	s.program, _, err = javascript.Source(s.wasm)
	return s, err
}

// quoted is a string in JSON, of n bytes with its quotes.
func quoted(n int) []byte {
	text := bytes.Repeat([]byte("0123456789abcdef"), n/16)
	text[0], text[n-1] = '"', '"'
	return text
}

// lacks reports whether a column is not for this guest: Extism would have a program in JavaScript compiled by a tool of its
// own, and so would not run this one.
func (s *sample) lacks(column string) bool {
	return s.program != nil && strings.HasPrefix(column, "extism")
}

// said is what an output says. JavaScript answers in an envelope, nothing as the empty object, and the host's own function
// without.
func (s *sample) said(output []byte) []byte {
	if s.program == nil {
		return output
	}
	if value, ok := bytes.CutPrefix(output, []byte(`{"value":`)); ok {
		output = bytes.TrimSuffix(value, []byte("}"))
	}
	return bytes.TrimPrefix(output, []byte("{}"))
}

// scriptFunctions are what the engine of scripts imports, by name.
var scriptFunctions = func() map[string]api.GoModuleFunc {
	all := map[string]api.GoModuleFunc{}
	for _, f := range javascript.Functions() {
		all[f.Name] = f.Run
	}
	return all
}()

// boot makes the program of a script ready; other guests need nothing.
func (b *bare) boot() error {
	if b.program == nil {
		return nil
	}
	b.script = javascript.NewInstance(b.guest)
	return b.program.Boot(b, b.script)
}

// run runs an export of a script.
func (b *bare) run(export string) ([]byte, error) {
	err := b.program.Call(b, b.script, export)
	return b.output, err
}

var _ javascript.Host = (*bare)(nil)

// Instance implements javascript.Host.
func (b *bare) Instance() *javascript.Instance { return b.script }

// Input implements javascript.Host.
func (b *bare) Input() []byte { return b.input }

// SetOutput implements javascript.Host.
func (b *bare) SetOutput(output []byte) { b.output = append(b.output[:0], output...) }

// Capability implements javascript.Host.
func (b *bare) Capability(capability, function string, _ []byte) []byte {
	if abi.ModulePrefix+capability != send.Module || function != send.Name {
		panic("no row asks " + capability + "." + function)
	}
	return answer
}

// Log implements javascript.Host. No row uses it.
func (b *bare) Log(javascript.Level, []byte) {}

// Random implements javascript.Host. No row uses it.
func (b *bare) Random([]byte) {}
