package guest

import (
	"encoding/binary"
	"fmt"

	"github.com/frigg-host/frigg-host/abi"
)

// kernelFunction is one host function of the native engine.
type kernelFunction struct {
	name, params, results string // letters as in hostFunction
	run                   func(k *kernel, s []uint64)
}

// env is extism:host/env, every function that the reference kernel and its host export.
var env = []kernelFunction{
	{"alloc", "I", "I", func(k *kernel, s []uint64) { s[0] = k.alloc(s[0]) }},
	{"free", "I", "", func(k *kernel, s []uint64) { k.free(s[0]) }},
	{"length", "I", "I", func(k *kernel, s []uint64) { s[0] = k.length(s[0]) }},
	{"length_unsafe", "I", "I", func(k *kernel, s []uint64) { s[0] = k.length(s[0]) }},
	{"load_u8", "I", "i", func(k *kernel, s []uint64) { s[0] = uint64(k.view(s[0], 1)[0]) }},
	{"load_u64", "I", "I", func(k *kernel, s []uint64) { s[0] = binary.LittleEndian.Uint64(k.view(s[0], 8)) }},
	{"store_u8", "Ii", "", func(k *kernel, s []uint64) { k.view(s[0], 1)[0] = byte(s[1]) }},
	{"store_u64", "II", "", func(k *kernel, s []uint64) { binary.LittleEndian.PutUint64(k.view(s[0], 8), s[1]) }},
	{"input_set", "II", "", func(k *kernel, s []uint64) { k.setInput(s[0], s[1]) }},
	{"input_length", "", "I", func(k *kernel, s []uint64) { s[0] = k.inputLength() }},
	{"input_load_u8", "I", "i", func(k *kernel, s []uint64) { s[0] = uint64(k.inputByte(s[0])) }},
	{"input_load_u64", "I", "I", func(k *kernel, s []uint64) { s[0] = k.inputWord(s[0]) }},
	{"input_offset", "", "I", func(k *kernel, s []uint64) { s[0] = k.inputOffset() }},
	{"output_set", "II", "", func(k *kernel, s []uint64) { k.setOutput(s[0], s[1]) }},
	{"output_length", "", "I", func(k *kernel, s []uint64) { s[0] = k.out.n }},
	{"output_offset", "", "I", func(k *kernel, s []uint64) { s[0] = k.out.at }},
	{"error_set", "I", "", func(k *kernel, s []uint64) { k.setError(s[0]) }},
	{"error_get", "", "I", func(k *kernel, s []uint64) { s[0] = k.failure.at }},
	{"reset", "", "", func(k *kernel, s []uint64) { k.reset() }},
	{"memory_bytes", "", "I", func(k *kernel, s []uint64) { s[0] = uint64(len(k.arena)) }},
	{"config_get", "I", "I", func(k *kernel, s []uint64) { s[0] = k.config(s[0]) }},
	{"var_get", "I", "I", func(k *kernel, s []uint64) { s[0] = k.getVar(s[0]) }},
	{"var_set", "II", "", func(k *kernel, s []uint64) { k.setVar(s[0], s[1]) }},
	{"http_request", "II", "I", func(k *kernel, s []uint64) { k.trap(noHTTP) }},
	{"http_status_code", "", "i", func(k *kernel, s []uint64) { s[0] = 0 }},
	{"http_headers", "", "I", func(k *kernel, s []uint64) { s[0] = 0 }},
	{"get_log_level", "", "i", func(k *kernel, s []uint64) { s[0] = k.logLevel() }},
	{"log_trace", "I", "", func(k *kernel, s []uint64) { k.logBlock(LevelTrace, s[0]) }},
	{"log_debug", "I", "", func(k *kernel, s []uint64) { k.logBlock(LevelDebug, s[0]) }},
	{"log_info", "I", "", func(k *kernel, s []uint64) { k.logBlock(LevelInfo, s[0]) }},
	{"log_warn", "I", "", func(k *kernel, s []uint64) { k.logBlock(LevelWarn, s[0]) }},
	{"log_error", "I", "", func(k *kernel, s []uint64) { k.logBlock(LevelError, s[0]) }},
}

// Texts that both engines use.
const noBlock = "there is no block at offset %d"

func arenaFull(limit uint64) string { return "limit of " + size(limit) + " for Extism blocks reached" }

func varsFull() string { return "limit of " + size(maxVars) + " for variables reached" }

// noHTTP is what a guest hears that wants Extism's own requests: they would go past the requester.
var noHTTP = fmt.Sprintf("http_request is not offered; use the capability %s%s", abi.ModulePrefix, abi.CapabilityHTTP)

// bulk is frigg:host/bulk: one copy instead of 8 bytes per host call. Pointers are addresses in linear memory.
var bulk = []kernelFunction{
	{"input_read", "ii", "i", func(k *kernel, s []uint64) { s[0] = uint64(copy(k.guestBytes(s[0], s[1]), k.input[:k.inputLength()])) }},
	{"output_write", "ii", "", func(k *kernel, s []uint64) {
		k.ofCall("the output")
		b := k.guestBytes(s[0], s[1])
		k.checkOutput(uint64(len(b)))
		k.out = span{k.place(b), uint64(len(b))}
	}},
	{"read", "Iii", "", func(k *kernel, s []uint64) { copy(k.guestBytes(s[1], s[2]), k.view(s[0], uint64(uint32(s[2])))) }},
	{"write", "ii", "I", func(k *kernel, s []uint64) { s[0] = k.place(k.guestBytes(s[0], s[1])) }},
}
