package wire

import (
	"log/slog"
)

// Host is the way to the host's functions. It is empty: the way is the import section.
type Host struct{}

func init() { slog.SetDefault(Logger(Host{})) }

// Run serves an export: input from the kernel, answer to the kernel.
func Run(export string) int32 {
	setOutput(Answer(Host{}, export, input()))
	return 0
}

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env length
func length(block uint64) uint64

//go:wasmimport extism:host/env free
func free(block uint64)

//go:wasmimport extism:host/env log_debug
func logDebug(block uint64)

//go:wasmimport extism:host/env log_info
func logInfo(block uint64)

//go:wasmimport extism:host/env log_warn
func logWarn(block uint64)

//go:wasmimport extism:host/env log_error
func logError(block uint64)

// call sends a request to a host function and reads its answer.
func call[T any](function func(uint64) uint64, request any) (T, error) {
	var none T
	b, err := Marshal(request)
	if err != nil {
		return none, err
	}
	question := newBlock(b)
	answer := function(question)
	b = read(answer)
	free(answer) // last in, first out: the kernel takes the space back
	free(question)
	return DecodeAnswer[T](b)
}

func (Host) log(level slog.Level, text string) {
	block := newBlock([]byte(text))
	switch {
	case level < slog.LevelInfo:
		logDebug(block)
	case level < slog.LevelWarn:
		logInfo(block)
	case level < slog.LevelError:
		logWarn(block)
	default:
		logError(block)
	}
	free(block)
}
