// Gopher is a guest in standard Go that leaves as much behind as it can. Tests build it with -buildmode=c-shared.
package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"
)

func main() {}

//go:wasmimport frigg:host/bulk output_write
func outputWrite(p unsafe.Pointer, n uint32)

//go:wasmimport frigg:host/http send
func send(request uint64) uint64

func output(b []byte) { outputWrite(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) }

// What a call changes and the next one must not see.
var (
	calls  int
	seen   = map[int]string{}
	grown  [][]byte
	timers []*time.Timer
	queue  = make(chan int, 100)
)

//go:wasmexport noop
func noop() int32 { return 0 }

// state answers what is left of former calls, which is nothing.
//
//go:wasmexport state
func state() int32 {
	output(fmt.Appendf(nil, "%d %d %d %d %d %d", calls, len(seen), len(grown), len(timers), len(queue), runtime.NumGoroutine()))
	calls++
	return 0
}

//go:wasmexport churn
func churn() int32 {
	calls++
	for i := range 200 {
		seen[i] = fmt.Sprint("value ", i)
	}
	for i := range 20 {
		timers = append(timers, time.AfterFunc(time.Duration(i)*time.Hour, func() { calls++ }))
		go func() {
			time.Sleep(time.Hour)
			queue <- i
		}()
	}
	go func() {
		for {
			calls++
			runtime.Gosched()
		}
	}()
	done := make(chan int)
	for i := range 10 {
		go func() { done <- i }()
	}
	for range 10 {
		<-done
	}
	runtime.GC()
	return 0
}

//go:wasmexport grow
func grow() int32 {
	b := make([]byte, 9<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	grown = append(grown, b)
	return 0
}

//go:wasmexport deep
func deep() int32 { return int32(down(3000)) & 0 }

func down(n int) int {
	var local [8]int
	if n > 0 {
		local[n%8] = down(n - 1)
	}
	return local[n%8] + 1
}

//go:wasmexport panics
func panics() int32 {
	calls++
	panic("on purpose")
}

//go:wasmexport exits
func exits() int32 {
	calls++
	os.Exit(3)
	return 0
}

//go:wasmexport spin
func spin() int32 {
	for {
		calls++
	}
}

//go:wasmexport ask
func ask() int32 {
	calls++
	send(0)
	return 0
}

// nap sleeps and answers for how long, as it sees it, in nanoseconds.
//
//go:wasmexport nap
func nap() int32 {
	start := time.Now()
	time.Sleep(20 * time.Millisecond)
	output(binary.LittleEndian.AppendUint64(nil, uint64(time.Since(start))))
	return 0
}

//go:wasmexport random
func random() int32 {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	output(b)
	return 0
}

// work computes something and answers it.
//
//go:wasmexport work
func work() int32 {
	m := map[string]int{}
	for i := range 2000 {
		m[fmt.Sprint(i%97)] += i
	}
	b := []byte{}
	for _, k := range []string{"1", "50", "96"} {
		b = fmt.Appendf(b, "%d ", m[k])
	}
	output(b)
	return 0
}
