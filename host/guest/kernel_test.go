package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// stopped runs f and returns the stop that it ended with, nil if none.
func stopped(f func()) (s *stop) {
	defer func() {
		if p := recover(); p != nil {
			s = p.(*stop) // anything else is a crash
		}
	}()
	f()
	return nil
}

func TestKernel_FreedSpaceIsUsedAgain(t *testing.T) {
	t.Parallel()
	k := testKernel(0)
	defer k.cancel()
	for range 10_000 { // in the order of a host function that frees its arguments
		name, value := k.alloc(100), k.alloc(1000)
		k.free(name)
		k.free(value)
	}
	if n := len(k.arena); n != arenaBase {
		t.Errorf("%d bytes are left", n)
	}
}

func TestKernel_NewBlocksAreZero(t *testing.T) {
	t.Parallel()
	k := testKernel(0)
	defer k.cancel()
	a := k.alloc(64)
	copy(k.view(a, 64), strings.Repeat("x", 64))
	k.free(a)
	if b := k.alloc(64); b != a || !bytes.Equal(k.view(b, 64), make([]byte, 64)) {
		t.Errorf("block %d after %d is %q", b, a, k.view(b, 64))
	}
}

func TestKernel_ResetCostsNoMoreThanWasAllocated(t *testing.T) {
	t.Parallel()
	k := testKernel(0)
	defer k.cancel()
	a := k.alloc(512)
	copy(k.view(a, 512), strings.Repeat("x", 512))
	k.free(a)
	k.reset()
	if k.arena[:cap(k.arena)][a] != 'x' {
		t.Error("reset cleared what was not in use")
	}
	if b := k.alloc(512); !bytes.Equal(k.view(b, 512), make([]byte, 512)) {
		t.Errorf("a new block is %q", k.view(b, 512))
	}
}

func TestKernel_AnInputOfTheGuestsOwnHasTheLimitOfInputs(t *testing.T) {
	t.Parallel()
	k := testKernel(0)
	defer k.cancel()
	k.limits.InputBytes = 100
	a := k.alloc(101)
	k.setInput(a, 100)
	if s := stopped(func() { k.setInput(a, 101) }); s == nil || s.reason != ReasonArena {
		t.Errorf("want the limit, got %v", s)
	}
}

// TestWASI_WorkDoesNotGrowWithMemory: what one call of a function does is bounded, however much memory the guest has.
func TestWASI_WorkDoesNotGrowWithMemory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		f    wasiCall
		args []uint64
		want uint64
	}{
		{"most vectors", fdWrite, []uint64{1, 0, maxVectors, 0}, errnoSuccess},
		{"more vectors", fdWrite, []uint64{1, 0, maxVectors + 1, 0}, errnoInval},
		{"most subscriptions", poll, []uint64{0, 0, maxVectors, 0}, errnoSuccess},
		{"more subscriptions", poll, []uint64{0, 0, maxVectors + 1, 0}, errnoInval},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := testKernel(1 << 20)
			defer k.cancel()
			if got := c.f(k, c.args); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
	t.Run("random bytes after the deadline", func(t *testing.T) {
		t.Parallel()
		k := testKernel(8 * randomStep)
		defer k.cancel()
		k.Context = canceled()
		if s := stopped(func() { random(k, []uint64{0, 8 * randomStep}) }); s == nil || s.reason != ReasonCanceled {
			t.Errorf("got %v", s)
		}
		if !bytes.Equal(k.memory.Bytes()[randomStep:], make([]byte, 7*randomStep)) {
			t.Error("all of memory was filled")
		}
	})
}

func TestKernel_LengthIsThatOfABlock(t *testing.T) {
	t.Parallel()
	k := testKernel(0)
	defer k.cancel()
	a, b := k.alloc(10), k.alloc(20)
	k.free(a)
	for offset, want := range map[uint64]uint64{0: 0, a: 0, b: 20, b + 1: 0, b - 16: 0, 1 << 63: 0} {
		if got := k.length(offset); got != want {
			t.Errorf("length(%d): want %d, got %d", offset, want, got)
		}
	}
}

func TestKernel_InputBehindItsEnd(t *testing.T) {
	t.Parallel()
	k := testKernel(0) // input is 10 bytes
	defer k.cancel()
	if got := k.inputWord(8); got != binary.LittleEndian.Uint64([]byte("ut\x00\x00\x00\x00\x00\x00")) {
		t.Errorf("%#x", got)
	}
	for _, f := range []func(){func() { k.inputWord(10) }, func() { k.inputByte(10) }, func() { k.inputWord(1<<64 - 1) }} {
		if s := stopped(f); s == nil || s.reason != ReasonTrap {
			t.Errorf("want a trap, got %v", s)
		}
	}
}

func TestKernel_OutputAndErrorOutliveFree(t *testing.T) {
	t.Parallel()
	k := testKernel(0)
	defer k.cancel()
	out, failure := k.place([]byte("output")), k.place([]byte("error"))
	k.setOutput(out, 6)
	k.setError(failure)
	k.free(failure)
	k.free(out)
	k.alloc(64)
	if got := string(k.output()) + " " + k.errorText(); got != "output error" {
		t.Error(got)
	}
}

// FuzzKernel: no sequence of calls with any arguments does more than stop the guest, writes to its input or goes over a
// limit. Each call is the number of a function and two arguments.
func FuzzKernel(f *testing.F) {
	functions := slices.Concat(env, bulk, preview1)
	call := func(name string, args ...uint64) []byte {
		i := slices.IndexFunc(functions, func(f kernelFunction) bool { return f.name == name })
		b := []byte{byte(i)}
		for _, a := range append(args, make([]uint64, 4-len(args))...) {
			b = binary.LittleEndian.AppendUint64(b, a)
		}
		return b
	}
	f.Add(slices.Concat(call("alloc", 10), call("store_u64", 64, 1), call("output_set", 64, 10), call("free", 64), call("alloc", 1<<20)))
	f.Add(slices.Concat(call("input_offset"), call("input_set", 64, 3), call("reset"), call("input_offset"), call("length", 64)))
	f.Add(slices.Concat(call("alloc", 3), call("alloc", 3), call("var_set", 64, 80), call("alloc", 3), call("var_get", 64)))
	f.Add(slices.Concat(call("write", 0, 100), call("read", 64, 1<<12, 8), call("output_write", 1, 1<<32-1), call("error_set", 64)))
	f.Add(slices.Concat(call("fd_write", 1, 0, 1<<29, 0), call("poll_oneoff", 0, 0, 1<<31, 0), call("random_get", 8, 1<<32-1)))
	for _, n := range hostileNumbers {
		f.Add(slices.Concat(call("alloc", 40), call("output_set", n, n), call("load_u64", n), call("store_u8", n, n), call("config_get", n)))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		k := testKernel(1 << 12)
		defer k.cancel()
		k.cancel() // sleeps end at once
		for len(program) >= 33 {
			fn := functions[int(program[0])%len(functions)]
			var stack [9]uint64 // path_open has the most parameters
			for i := range 4 {
				stack[i] = binary.LittleEndian.Uint64(program[1+8*i:])
			}
			program = program[33:]
			if s := stopped(func() { fn.run(k, stack[:]) }); s != nil && s.reason == ReasonHost {
				t.Fatalf("%s: %v", fn.name, s)
			}
			if string(k.call.Input) != "some input" {
				t.Fatalf("%s changed the input", fn.name)
			}
			if uint64(len(k.arena)) > k.maxArena+arenaAlign || k.varBytes > maxVars || len(k.console.kept) > 2*consoleBytes {
				t.Fatalf("%s: arena %d, variables %d, console %d", fn.name, len(k.arena), k.varBytes, len(k.console.kept))
			}
		}
		if n := uint64(len(k.output())); n > k.limits.OutputBytes {
			t.Errorf("output of %d bytes", n)
		}
		k.errorText()
	})
}
