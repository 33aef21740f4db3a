//go:build wasip1

// A guest in Go with the plugin development kit of Extism as it is: eight bytes for each call of the kernel.
package main

import (
	"github.com/extism/go-pdk"

	"github.com/frigg-host/frigg-host/host/guest/bench/order"
)

func init() {
	if _, err := order.Double(order.Example()); err != nil { // so that encoding/json knows the type; see the other guest
		panic(err)
	}
}

func main() {}

//go:wasmimport frigg:host/http send
func send(request uint64) uint64

//go:wasmexport noop
func noop() int32 { return 0 }

//go:wasmexport echo
func echo() int32 {
	pdk.Output(pdk.Input())
	return 0
}

//go:wasmexport json
func json() int32 {
	doubled, err := order.Double(pdk.Input())
	if err != nil {
		pdk.SetError(err)
		return 1
	}
	pdk.Output(doubled)
	return 0
}

//go:wasmexport ask
func ask() int32 {
	question := pdk.AllocateBytes(pdk.Input())
	answer := pdk.FindMemory(send(question.Offset()))
	pdk.Output(answer.ReadBytes())
	answer.Free()
	question.Free()
	return 0
}
