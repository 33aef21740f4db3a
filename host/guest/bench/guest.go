package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"

	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/guest/bench/order"
	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/rewrite"
)

// sample is a guest: one source, built with bulk copies, and without for hosts that do not offer them.
type sample struct {
	name        string
	wasm, plain []byte
	program     *javascript.Program // of a guest in JavaScript
	rows        []row
}

// row is one kind of call.
type row struct {
	name, export string
	input        []byte
}

// send is the capability of the rows that ask the host.
var send = guest.Import{Module: "frigg:host/http", Name: "send"}

var (
	question = []byte(`{"url":"/orders/48213","role":"shop"}`)
	answer   = []byte(`{"value":{"status":200,"text":"{\"id\":48213}"}}`)
)

// samples reads the guests from a directory that make has filled.
func samples(dir string) ([]sample, error) {
	rows := []row{
		{"noop", "noop", nil},
		{"echo_1KiB", "echo", bytes.Repeat([]byte("0123456789abcdef"), 1<<6)},
		{"echo_64KiB", "echo", bytes.Repeat([]byte("0123456789abcdef"), 1<<12)},
		{"host_call", "ask", question},
		{"json_1KiB", "json", order.Example()},
	}
	all := []sample{{name: "go", rows: rows}, {name: "pdk", rows: rows}, {name: "c", rows: rows[:4]}}
	for i := range all {
		s := &all[i]
		var err error
		if s.wasm, err = os.ReadFile(filepath.Join(dir, s.name+".wasm")); err != nil {
			return nil, err
		}
		if s.plain, err = os.ReadFile(filepath.Join(dir, s.name+".plain.wasm")); err != nil {
			s.plain = s.wasm // it has nothing to leave out
		}
	}
	script, err := openScript()
	return append(all, script), err
}

// capabilities are what a module imports of ours beside the bulk copies. A program in JavaScript names what it uses when it
// does.
func (s *sample) capabilities() ([]guest.Import, error) {
	if s.program != nil {
		return []guest.Import{send}, nil
	}
	m, err := rewrite.Rewrite(s.wasm, rewrite.Options{})
	if err != nil {
		return nil, err
	}
	var all []guest.Import
	for _, im := range m.Imports {
		if isCapability(im.Module) {
			all = append(all, guest.Import{Module: im.Module, Name: im.Name})
		}
	}
	return all, nil
}

// identity is a number in the code of the guests, to be replaced.
const identity = 0x5eed0000

// variant is the same guest as another plugin: its code differs, so that nothing can be shared.
func variant(wasm []byte, n int) []byte {
	return bytes.ReplaceAll(wasm, number5(identity), number5(identity+n))
}

// number5 is a number as code has it: LEB128 (WebAssembly core specification 2.0, 5.2.2), of 5 bytes.
func number5(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) } // the same as signed: bit 34 is 0
