package guest

import (
	"errors"
	"fmt"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// reader takes a binary apart. After the first error all reads give zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.b = nil
}

func (r *reader) bytes(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)) {
		if r.err == nil {
			r.err = errors.New("it is truncated")
		}
		r.b = nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// u32 is an unsigned LEB128 number (5.2.2).
func (r *reader) u32() uint32 {
	var n uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			if n > 1<<32-1 {
				break
			}
			return uint32(n)
		}
	}
	r.fail("a number of more than 32 bits")
	return 0
}

// signed skips a signed LEB128 number of at most n bytes.
func (r *reader) signed(n int) {
	for range n {
		if r.byte()&0x80 == 0 {
			return
		}
	}
	r.fail("a number that is too long")
}

// vector reads a count and that many entries. Each takes at least one byte, so that a count above the bytes left is refused
// before anybody believes it.
func (r *reader) vector(most uint32, entry func()) {
	n := r.u32()
	if r.err == nil && uint64(n) > uint64(len(r.b)) {
		r.err = errors.New("it is truncated")
	}
	if r.err == nil && n > most {
		r.fail("%d entries, more than %d", n, most)
	}
	for ; n > 0 && r.err == nil; n-- {
		entry()
	}
}

// value reads a value type (5.3.4).
func (r *reader) value() {
	switch wasm.ValType(r.byte()) {
	case wasm.I32, wasm.I64, wasm.F32, wasm.F64, wasm.V128, wasm.FuncRef, wasm.ExternRef:
	default:
		r.fail("a value type that is not offered")
	}
}

// values reads a vector of value types.
func (r *reader) values(most uint32) { r.vector(most, r.value) }

func (r *reader) refType() byte {
	b := r.byte()
	if r.err == nil && b != 0x70 && b != 0x6f {
		r.fail("reference type 0x%x is not offered", b)
	}
	return b
}

// limits are those of a table (5.3.7); without a maximum it is the largest number.
func (r *reader) limits() (least, atMost uint32) {
	flag := r.byte()
	least, atMost = r.u32(), 1<<32-1
	if flag == 1 {
		atMost = r.u32()
	}
	if r.err == nil && (flag > 1 || atMost < least) {
		r.fail("limits that are not offered")
	}
	return least, atMost
}

// Instructions (5.4).
const (
	opLoop         = 0x03
	opEnd          = 0x0b
	opCall         = 0x10
	opCallIndirect = 0x11
	opGlobalGet    = 0x23
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opVector       = 0xfd
)

func (r *reader) constant() {
	for r.err == nil {
		switch op := r.byte(); op {
		case opEnd:
			return
		case opGlobalGet, opRefFunc:
			r.u32()
		case opI32Const:
			r.signed(5)
		case opI64Const:
			r.signed(10)
		case opF32Const:
			r.bytes(4)
		case opF64Const:
			r.bytes(8)
		case opRefNull:
			r.refType()
		case opVector:
			if r.u32() != 12 {
				r.fail("a constant that is none")
			}
			r.bytes(16)
		default:
			r.fail("instruction 0x%x in a constant", op)
		}
	}
}
