//go:build wasip1 && frigg_nobulk

package main

import "encoding/binary"

//go:wasmimport extism:host/env input_load_u8
func inputLoad8(at uint64) uint32

//go:wasmimport extism:host/env input_load_u64
func inputLoad64(at uint64) uint64

//go:wasmimport extism:host/env output_set
func outputSet(block, n uint64)

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env load_u8
func load8(at uint64) uint32

//go:wasmimport extism:host/env load_u64
func load64(at uint64) uint64

//go:wasmimport extism:host/env store_u8
func store8(at uint64, v uint32)

//go:wasmimport extism:host/env store_u64
func store64(at, v uint64)

func input() []byte { return copyIn(inputLength(), 0, inputLoad8, inputLoad64) }

func read(block uint64) []byte { return copyIn(length(block), block, load8, load64) }

func setOutput(b []byte) { outputSet(newBlock(b), uint64(len(b))) }

// copyIn reads n bytes, eight at a time.
func copyIn(n, at uint64, one func(uint64) uint32, eight func(uint64) uint64) []byte {
	b := make([]byte, 0, n)
	i := uint64(0)
	for ; i+8 <= n; i += 8 {
		b = binary.LittleEndian.AppendUint64(b, eight(at+i))
	}
	for ; i < n; i++ {
		b = append(b, byte(one(at+i)))
	}
	return b
}

func newBlock(b []byte) uint64 {
	block := alloc(uint64(len(b)))
	i := 0
	for ; i+8 <= len(b); i += 8 {
		store64(block+uint64(i), binary.LittleEndian.Uint64(b[i:]))
	}
	for ; i < len(b); i++ {
		store8(block+uint64(i), uint32(b[i]))
	}
	return block
}
