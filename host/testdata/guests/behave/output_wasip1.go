package behave

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env output_set
func outputSet(block, n uint64)

// hugeOutput makes n bytes the output, past the SDK.
func hugeOutput(n int) { outputSet(alloc(uint64(n)), uint64(n)) }
