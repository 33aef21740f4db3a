package rewrite

import "github.com/frigg-host/frigg-host/host/plugin/wasm"

// One memory.fill or memory.copy may go over all of memory, which takes an engine a hundred milliseconds in which nothing can
// interrupt it. Large ones are done by a function of ours, piece by piece, each of which pays for itself. That reads as one
// instruction: what is out of bounds is left to the instruction itself, which traps before it writes.

// chunk is the largest piece.
const chunk = 256 << 10

// Instructions that our functions need beside those of guests that matter.
const (
	opLocalSet     = 0x21
	opI32GtU       = 0x4b
	opI32LeU       = 0x4d
	opI64GtU       = 0x56
	opI64Add       = 0x7c
	opI64Shl       = 0x86
	opI64ExtendI32 = 0xad // unsigned
)

// pieces is the function that does an instruction in pieces.
func (p *pass) pieces(instruction byte) uint32 {
	if instruction == memoryFill {
		return p.slow() + 1
	}
	return p.slow() + 2
}

// addPieces adds these functions and their type, (i32 i32 i32) -> ().
func (p *pass) addPieces() {
	p.add(sectionType, 0x60, 3, byte(wasm.I32), byte(wasm.I32), byte(wasm.I32), 0)
	for range 2 {
		p.add(sectionFunction, appendU32(nil, p.piecesType())...)
	}
	p.add(sectionCode, sized(p.fillBody())...)
	p.add(sectionCode, sized(p.copyBody())...)
}

func (p *pass) piecesType() uint32 { return uint32(len(p.types)) + 1 }

// sized puts the size of a body before it.
func sized(body []byte) []byte { return append(appendU32(nil, uint32(len(body))), body...) }

// appendLarge begins the choice: pieces if the operand on top is large. The instruction and opEnd must follow.
func (p *pass) appendLarge(b []byte, instruction byte, scratch uint32) []byte {
	b = appendU32(append(b, opLocalTee), scratch)
	b = appendU32(append(b, opLocalGet), scratch)
	b = append(appendI32(append(b, opI32Const), chunk), opI32GtU, opIf)
	b = appendI32(b, int32(p.piecesType()))
	b = appendU32(append(b, opCall), p.pieces(instruction))
	b = append(b, opElse)
	return p.appendPayFor(b, scratch)
}

// fillBody is (to, value, n): if it is out of bounds memory.fill, which traps; then pieces as long as n is large; then the
// rest.
func (p *pass) fillBody() []byte {
	rest := []byte{opLocalGet, 0, opLocalGet, 1, opLocalGet, 2, opMisc, memoryFill, 0}
	b := p.appendBounds([]byte{0}, rest, 0)
	b = append(b, opLoop, emptyType)
	b = p.appendPayChunk(b)
	b = append(b, opLocalGet, 0, opLocalGet, 1, opI32Const)
	b = append(appendI32(b, chunk), opMisc, memoryFill, 0)
	b = appendStep(b, opI32Add, 0)
	b = appendAgain(b)
	b = p.appendPayFor(append(b, opEnd), 2)
	return append(append(b, rest...), opEnd)
}

// copyBody is (to, from, n), as fillBody. What overlaps is copied in the order in which nothing is overwritten before it was
// read: forwards if it moves down, else backwards from the end.
func (p *pass) copyBody() []byte {
	rest := []byte{opLocalGet, 0, opLocalGet, 1, opLocalGet, 2, opMisc, memoryCopy, 0, 0}
	b := p.appendBounds([]byte{0}, rest, 0)
	b = p.appendBounds(b, rest, 1)
	b = append(b, opLocalGet, 0, opLocalGet, 1, opI32LeU, opIf, emptyType)

	b = append(b, opLoop, emptyType)
	b = p.appendPayChunk(b)
	b = append(b, opLocalGet, 0, opLocalGet, 1, opI32Const)
	b = append(appendI32(b, chunk), opMisc, memoryCopy, 0, 0)
	b = appendStep(appendStep(b, opI32Add, 0), opI32Add, 1)
	b = append(appendAgain(b), opEnd, opElse)

	b = append(b, opLoop, emptyType)
	b = p.appendPayChunk(b)
	b = appendStep(b, opI32Sub, 2)
	b = append(b, opLocalGet, 0, opLocalGet, 2, opI32Add, opLocalGet, 1, opLocalGet, 2, opI32Add, opI32Const)
	b = append(appendI32(b, chunk), opMisc, memoryCopy, 0, 0)
	b = append(appendLargeStill(b), opEnd, opEnd)

	b = p.appendPayFor(b, 2)
	return append(append(b, rest...), opEnd)
}

// appendBounds does the instruction as it is if local at plus n is behind the end of memory.
func (p *pass) appendBounds(b, instruction []byte, at byte) []byte {
	b = append(b, opLocalGet, at, opI64ExtendI32, opLocalGet, 2, opI64ExtendI32, opI64Add)
	b = append(b, opMemorySize, 0, opI64ExtendI32, opI64Const, 16, opI64Shl, opI64GtU, opIf, emptyType)
	return append(append(b, instruction...), opEnd)
}

// appendStep moves a local by a piece.
func appendStep(b []byte, op, local byte) []byte {
	b = appendI32(append(b, opLocalGet, local, opI32Const), chunk)
	return append(b, op, opLocalSet, local)
}

// appendAgain takes a piece from n and goes round while n is large.
func appendAgain(b []byte) []byte { return appendLargeStill(appendStep(b, opI32Sub, 2)) }

func appendLargeStill(b []byte) []byte {
	b = appendI32(append(b, opLocalGet, 2, opI32Const), chunk)
	return append(b, opI32GtU, opBrIf, 0)
}

func (p *pass) appendPayChunk(b []byte) []byte {
	b = appendU32(append(b, opGlobalGet), p.fuel())
	return p.appendPay(appendI32(append(b, opI32Const), chunk>>bulkShift))
}
