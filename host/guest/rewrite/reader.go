package rewrite

import (
	"errors"
	"fmt"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// reader takes a binary apart. After the first error it is at its end and all reads give zero values.
type reader struct {
	b   []byte
	at  int
	err error
}

var errShort = errors.New("it is truncated")

func (r *reader) fail(format string, args ...any) { r.stop(fmt.Errorf(format, args...)) }

func (r *reader) stop(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = len(r.b)
}

func (r *reader) left() int { return len(r.b) - r.at }

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.left()) {
		r.stop(errShort)
		return nil
	}
	from := r.at
	r.at += int(n)
	return r.b[from:r.at:r.at]
}

func (r *reader) byte() byte {
	if r.at >= len(r.b) {
		r.stop(errShort)
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

// zero reads a byte that is reserved.
func (r *reader) zero() {
	if r.byte() != 0 {
		r.fail("a reserved byte is not zero")
	}
}

// u32 is an unsigned LEB128 number (5.2.2).
func (r *reader) u32() uint32 {
	if r.at < len(r.b) && r.b[r.at] < 0x80 {
		r.at++
		return uint32(r.b[r.at-1])
	}
	return r.long()
}

func (r *reader) long() uint32 {
	var n uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if n > 1<<32-1 {
				break
			}
			return uint32(n)
		}
	}
	r.fail("a number of more than 32 bits")
	return 0
}

// signed is a signed LEB128 number of at most 64 bits (5.2.2).
func (r *reader) signed(bits int) int64 {
	var n int64
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		n |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if rest := bits - shift; rest < 7 { // what is beyond the bits must repeat the sign
			if beyond := int8(b<<1) >> rest; beyond != 0 && beyond != -1 {
				break
			}
		}
		if shift += 7; shift < 64 && b&0x40 != 0 {
			n |= -1 << shift
		}
		return n
	}
	r.fail("a number of more than %d bits", bits)
	return 0
}

// vector reads a count and that many entries. Each takes at least one byte, so that a count above the bytes left is
// refused before anybody believes it.
func (r *reader) vector(most uint32, entry func()) uint32 {
	n := r.u32()
	switch {
	case r.err != nil:
		return 0
	case uint64(n) > uint64(r.left()):
		r.stop(errShort)
		return 0
	case n > most:
		r.fail("%d entries, more than %d", n, most)
		return 0
	}
	for i := n; i > 0 && r.err == nil; i-- {
		entry()
	}
	return n
}

func isValue(b byte) bool {
	switch wasm.ValType(b) {
	case wasm.I32, wasm.I64, wasm.F32, wasm.F64, wasm.V128, wasm.FuncRef, wasm.ExternRef:
		return true
	}
	return false
}

// value reads a value type (5.3.4).
func (r *reader) value() wasm.ValType {
	b := r.byte()
	if r.err == nil && !isValue(b) {
		r.fail("value type 0x%x is not offered", b)
	}
	return wasm.ValType(b)
}

func (r *reader) refType() byte {
	b := r.byte()
	if r.err == nil && b != byte(wasm.FuncRef) && b != byte(wasm.ExternRef) {
		r.fail("reference type 0x%x is not offered", b)
	}
	return b
}

// limits of a table or memory (5.3.7).
type limits struct{ least, most uint32 }

// limits reads them; without a maximum it is the largest number.
func (r *reader) limits() limits {
	flag := r.byte()
	l := limits{r.u32(), 1<<32 - 1}
	if flag == 1 {
		l.most = r.u32()
	}
	if r.err == nil && (flag > 1 || l.most < l.least) {
		r.fail("limits that are not offered")
	}
	return l
}
