//go:build wasip1

// A guest in Go, with one export for each row: those without an envelope as the SDK moves bytes, and one through the SDK.
package main

import (
	"github.com/frigg-host/frigg-host/host/guest/bench/order"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

func init() {
	integration.Route("POST /orders", func(_ *integration.Call, r integration.Request[order.Order]) (integration.Reply, error) {
		return integration.ReplyJSON(200, r.Body.Twice())
	})
}

// What an init function does is in the template that every call starts from: encoding/json looks at a type once, not in
// every call. A guest that stays alive pays for it once, too, so the peers lose nothing.
func init() {
	if _, err := order.Double(order.Example()); err != nil {
		panic(err)
	}
}

func main() {}

//go:wasmexport noop
func noop() int32 { return 0 }

//go:wasmexport echo
func echo() int32 {
	setOutput(input())
	return 0
}

//go:wasmexport json
func json() int32 {
	doubled, err := order.Double(input())
	if err != nil {
		return 1
	}
	setOutput(doubled)
	return 0
}

// One question to the host with the input, and its answer as the output.
//
//go:wasmexport ask
func ask() int32 {
	question := newBlock(input())
	answer := send(question)
	setOutput(read(answer))
	free(answer)
	free(question)
	return 0
}

// whoami says which plugin this is: many that differ in nothing else are made by changing the number.
//
//go:wasmexport whoami
func whoami() int32 { return 0x5eed0000 }

// spin never comes back by itself.
//
//go:wasmexport spin
func spin() int32 {
	for x := uint32(1); ; x ^= x << 13 {
		x ^= x >> 17
		x ^= x << 5
		if x == 0 {
			return 1
		}
	}
}

//go:wasmimport frigg:host/http send
func send(request uint64) uint64

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env length
func length(block uint64) uint64

//go:wasmimport extism:host/env free
func free(block uint64)
