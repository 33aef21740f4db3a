package behave

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env output_set
func outputSet(block, n uint64)

//go:wasmimport extism:host/env log_info
func logInfo(block uint64)

// flood logs lines of n bytes for ever, past the SDK.
func flood(n int) {
	for {
		logInfo(alloc(uint64(n))) // which frees it
	}
}

// hugeOutput makes n bytes the output, past the SDK.
func hugeOutput(n int) { outputSet(alloc(uint64(n)), uint64(n)) }
