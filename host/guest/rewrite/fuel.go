package rewrite

import (
	"slices"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// Fuel is an i32 that counts down from the quantum. Code pays before it runs: at the entry of a function for the longest
// way through its code outside of loops, at the header of a loop, in each round, for the longest way through its code
// outside of loops in it. (All code would be too much: what Go compiles is one loop around a switch for each function.) So
// a unit is at most 32 bytes of code, each of them executed at most once, or 64 bytes or entries of a bulk instruction. Who
// pays below zero calls $slow, which yields for each quantum until fuel is not negative again; so fuel is at least 0 before
// each payment, and the largest payment, of a table's entries or a segment's bytes, is far from wrapping it around.
//
// Functions that call nobody and have only short ways are free at their entry: who calls them pays for the call, and there
// is no recursion without a call.
const (
	bytesPerUnit  = 32
	bulkShift     = 6
	freeLeafBytes = 64
	maxCharge     = 60 // bytes of code that pay, at most
)

// emptyLoop is a loop without result that does nothing but be one.
var emptyLoop = []byte{opLoop, emptyType, opEnd}

// write appends the body with its size and its charges.
func (f *function) write(out []byte) []byte {
	body := f.writeLocals(slices.Grow(f.body[:0], len(f.b)+maxCharge*len(f.charges)))
	entry := f.charges[0]
	switch {
	case f.p.Fuel == 0 && f.calls:
		body = append(body, emptyLoop...)
	case f.p.Fuel > 0 && (f.calls || entry.own >= freeLeafBytes):
		body = f.p.appendCharge(body, entry.own)
	}
	from := int32(f.codeStart)
	for _, c := range f.charges[1:] {
		body = append(body, f.b[from:c.at]...)
		from = c.at
		switch c.bulk {
		case 0:
			body = f.p.appendCharge(body, c.own)
		case memoryFill, memoryCopy:
			body = f.p.appendLarge(body, c.bulk, f.locals)
			from += instructionLen[c.bulk]
			body = append(append(body, f.b[c.at:from]...), opEnd)
		default:
			body = f.p.appendBulk(body, f.locals)
		}
	}
	f.body = append(body, f.b[from:]...)
	return append(appendU32(out, uint32(len(f.body))), f.body...)
}

// writeLocals appends the declarations of locals, and our own behind them.
func (f *function) writeLocals(b []byte) []byte {
	if !f.needsLocal {
		return append(b, f.b[:f.codeStart]...)
	}
	b = appendU32(b, f.groups+1)
	b = append(b, f.b[f.groupsEnd:f.codeStart]...)
	return append(b, 1, byte(wasm.I32))
}

// appendCharge pays for bytes of code.
func (p *pass) appendCharge(b []byte, bytes int32) []byte {
	b = appendU32(append(b, opGlobalGet), p.fuel())
	b = appendI32(append(b, opI32Const), 1+bytes/bytesPerUnit)
	return p.appendPay(b)
}

// appendBulk pays for what the operand on top says.
func (p *pass) appendBulk(b []byte, scratch uint32) []byte {
	return p.appendPayFor(appendU32(append(b, opLocalTee), scratch), scratch)
}

// appendPayFor pays for as many bytes or entries as a local says.
func (p *pass) appendPayFor(b []byte, local uint32) []byte {
	b = appendU32(append(b, opGlobalGet), p.fuel())
	b = appendU32(append(b, opLocalGet), local)
	b = append(b, opI32Const, bulkShift, opI32ShrU)
	return p.appendPay(b)
}

// appendPay takes a number of units from the fuel; both are on the stack.
func (p *pass) appendPay(b []byte) []byte {
	b = appendU32(append(b, opI32Sub, opGlobalSet), p.fuel())
	b = appendU32(append(p.appendIsNegative(b), opIf, emptyType, opCall), p.slow())
	return append(b, opEnd)
}

func (p *pass) appendIsNegative(b []byte) []byte {
	b = appendU32(append(b, opGlobalGet), p.fuel())
	return append(b, opI32Const, 0, opI32LtS)
}

// slowBody is the body of $slow with its size:
//
//	loop  memory.grow(YieldPages); fuel += quantum; if fuel < 0 again  end
func (p *pass) slowBody() []byte {
	b := []byte{0, opLoop, emptyType, opI32Const}
	b = append(appendI32(b, YieldPages), opMemoryGrow, 0, opDrop)
	b = appendU32(append(b, opGlobalGet), p.fuel())
	b = appendI32(append(b, opI32Const), int32(p.Fuel))
	b = appendU32(append(b, opI32Add, opGlobalSet), p.fuel())
	return sized(append(p.appendIsNegative(b), opBrIf, 0, opEnd, opEnd))
}
