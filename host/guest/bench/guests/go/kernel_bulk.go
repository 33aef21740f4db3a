//go:build wasip1 && !frigg_nobulk

package main

import "unsafe"

//go:wasmimport frigg:host/bulk input_read
func inputRead(to unsafe.Pointer, n uint32) uint32

//go:wasmimport frigg:host/bulk output_write
func outputWrite(from unsafe.Pointer, n uint32)

//go:wasmimport frigg:host/bulk read
func blockRead(block uint64, to unsafe.Pointer, n uint32)

//go:wasmimport frigg:host/bulk write
func blockWrite(from unsafe.Pointer, n uint32) uint64

func input() []byte {
	b := make([]byte, inputLength())
	return b[:inputRead(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))]
}

func setOutput(b []byte) { outputWrite(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) }

func newBlock(b []byte) uint64 {
	return blockWrite(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
}

func read(block uint64) []byte {
	b := make([]byte, length(block))
	blockRead(block, unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
	return b
}
