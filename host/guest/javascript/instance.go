package javascript

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"
)

// function is an export of the engine that this package calls.
type function int

const (
	fnInit function = iota
	fnSetRejectionHandler
	fnContext
	fnSetOpaque
	fnOpaque
	fnRunGC
	fnEval
	fnCall
	fnNewHostFunction
	fnGetProperty
	fnPromiseState
	fnPromiseResult
	fnJob
	fnIsException
	fnException
	fnUndefined
	fnFreeValue
	fnMalloc
	fnFree
	fnNewString
	fnNewBytes
	fnBufferOf
	fnBuffer
	fnIsString
	fnString
	fnFreeString
	fnIsNumber
	fnNumber
	fnIdentity
	fnThrow
	functions
)

// exports are their names.
var exports = [functions]string{
	fnInit:                "qjs_init",
	fnSetRejectionHandler: "qjs_set_promise_rejection_handler",
	fnContext:             "qjs_get_context_ptr",
	fnSetOpaque:           "JS_SetContextOpaque",
	fnOpaque:              "JS_GetContextOpaque",
	fnRunGC:               "qjs_run_gc",
	fnEval:                "qjs_eval",
	fnCall:                "qjs_call",
	fnNewHostFunction:     "qjs_new_host_function",
	fnGetProperty:         "qjs_get_prop_string",
	fnPromiseState:        "qjs_promise_state",
	fnPromiseResult:       "qjs_promise_result",
	fnJob:                 "qjs_execute_pending_job",
	fnIsException:         "qjs_is_exception",
	fnException:           "qjs_get_exception",
	fnUndefined:           "qjs_get_undefined",
	fnFreeValue:           "qjs_free_value",
	fnMalloc:              "wasm_malloc",
	fnFree:                "wasm_free",
	fnNewString:           "qjs_new_string",
	fnNewBytes:            "qjs_new_uint8_array",
	fnBufferOf:            "qjs_get_typed_array_buffer",
	fnBuffer:              "qjs_get_array_buffer",
	fnIsString:            "qjs_is_string",
	fnString:              "qjs_get_string_len",
	fnFreeString:          "qjs_free_cstring",
	fnIsNumber:            "qjs_is_number",
	fnNumber:              "qjs_get_float64",
	fnIdentity:            "qjs_get_value_ptr",
	fnThrow:               "qjs_throw",
}

// maxArgs is the number of parameters of the widest of them.
const maxArgs = 4

// entry is an export with the stack that it is called with, so that a call allocates nothing.
type entry struct {
	f     api.Function
	stack [maxArgs]uint64
}

// Instance is an instance of the engine's module. It keeps what is dear to look up, and the state of the running call. It goes
// with one image: after the memory was put back, it can be used for the next call; for an image of another program make
// another Instance.
type Instance struct {
	module api.Module
	// entries are the exports as called from outside, and as called from a host function: a function of wazero cannot be
	// called again before it has returned.
	entries [2][functions]entry
	inside  int    // 1 while a host function runs
	root    uint32 // address of what Boot left for Call; 0 is not known yet

	booting    bool
	settled    bool       // the export has answered or thrown
	thrown     *Exception // the first
	explaining bool
	rejections map[uint32]rejection // by identity of the promise
	rejected   int                  // so many were put there
}

// NewInstance is for an instance of Engine.
func NewInstance(m api.Module) *Instance { return &Instance{module: m} }

// begin forgets the last call.
func (in *Instance) begin() {
	in.inside, in.settled, in.thrown, in.explaining, in.rejected = 0, false, nil, false, 0
	in.rejections = nil
}

// call calls an export of the engine; its result is 0 if it has none.
func (in *Instance) call(ctx context.Context, fn function, args ...uint64) (uint64, error) {
	e := &in.entries[in.inside][fn]
	if e.f == nil {
		if e.f = in.module.ExportedFunction(exports[fn]); e.f == nil {
			return 0, fmt.Errorf("the JavaScript engine has no %s", exports[fn])
		}
	}
	e.stack[0] = 0
	copy(e.stack[:], args)
	if err := e.f.CallWithStack(ctx, e.stack[:]); err != nil {
		return 0, err
	}
	return e.stack[0], nil
}

// The guest's memory. Addresses come from the guest; false means that they are outside.

const wordBytes = 4

func (in *Instance) word(at uint32) (uint32, bool) { return in.module.Memory().ReadUint32Le(at) }

func (in *Instance) setWord(at, v uint32) bool { return in.module.Memory().WriteUint32Le(at, v) }

// view is n bytes of it, valid until the guest runs again.
func (in *Instance) view(at, n uint32) ([]byte, bool) { return in.module.Memory().Read(at, n) }

// place copies b into new memory of the guest, with a zero behind it. Free it after use.
func (in *Instance) place(ctx context.Context, b []byte) (uint32, error) {
	if uint64(len(b)) >= 1<<31 {
		return 0, errNoMemory
	}
	at, err := in.call(ctx, fnMalloc, uint64(len(b)+1))
	if err != nil {
		return 0, err
	}
	if uint32(at) == 0 {
		return 0, errNoMemory
	}
	to, ok := in.view(uint32(at), uint32(len(b)+1))
	if !ok {
		return 0, ErrCorrupt
	}
	copy(to, b)
	to[len(b)] = 0
	return uint32(at), nil
}

// newString makes a value of UTF-8. The caller frees it.
func (in *Instance) newString(ctx context.Context, b []byte) (uint32, error) {
	return in.made(ctx, fnNewString, b)
}

func (in *Instance) made(ctx context.Context, fn function, b []byte) (uint32, error) {
	at, err := in.place(ctx, b)
	if err != nil {
		return 0, err
	}
	v, err := in.call(ctx, fn, uint64(at), uint64(len(b)))
	if err != nil {
		return 0, err
	}
	_, err = in.call(ctx, fnFree, uint64(at))
	return uint32(v), err
}

// errNoMemory means that the guest's memory is full.
var errNoMemory = &Exception{Message: "out of memory: the program needs more than its limit"}
