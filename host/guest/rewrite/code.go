package rewrite

import "fmt"

// Instructions (5.4) that matter here.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opI32Load      = 0x28
	opI64Store32   = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32Eqz       = 0x45
	opI32LtS       = 0x48
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32ShrU      = 0x76
	opI64Extend32S = 0xc4
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd

	emptyType = 0x40 // of a block
)

// shape says what follows an instruction, and what it means here.
type shape byte

const (
	refused     shape = iota
	plain             // nothing follows
	block             // block type
	loop              // block type
	otherwise         //
	end               //
	leaving           //
	label             // label
	labels            // labels and a label
	call              // function
	indirect          // type and table
	typed             // vector of one value type
	local             // local
	global            // global
	table             // table
	setTable          // table
	access            // alignment and offset in memory
	wholeMemory       // memory
	number32          // signed number
	number64          // signed number
	four              // bytes
	eight             // bytes
	refNull           // reference type
	refFunc           // function
	misc              // another instruction
	vector            // another instruction
)

// shapes of WebAssembly 2.0.
var shapes = func() (s [256]shape) {
	fill := func(from, to byte, as shape) {
		for op := int(from); op <= int(to); op++ {
			s[op] = as
		}
	}
	s[opUnreachable], s[opNop], s[opReturn] = leaving, plain, leaving
	s[opBlock], s[opIf], s[opElse], s[opLoop], s[opEnd] = block, block, otherwise, loop, end
	s[opBr], s[opBrIf], s[opBrTable] = label, label, labels
	s[opCall], s[opCallIndirect] = call, indirect
	s[opDrop], s[0x1b], s[opSelectTyped] = plain, plain, typed // the second is select without a type
	fill(opLocalGet, opLocalTee, local)
	fill(opGlobalGet, opGlobalSet, global)
	s[opTableGet], s[opTableSet] = table, setTable
	fill(opI32Load, opI64Store32, access)
	fill(opMemorySize, opMemoryGrow, wholeMemory)
	s[opI32Const], s[opI64Const], s[opF32Const], s[opF64Const] = number32, number64, four, eight
	fill(opI32Eqz, opI64Extend32S, plain)
	s[opRefNull], s[opRefIsNull], s[opRefFunc] = refNull, plain, refFunc
	s[opMisc], s[opVector] = misc, vector
	return s
}()

// proposal names what a refused instruction is of.
func proposal(op byte) string {
	switch {
	case op == 0x12 || op == 0x13:
		return "tail calls"
	case op >= 0x06 && op <= 0x0a || op == 0x18 || op == 0x19 || op == 0x1f:
		return "exceptions"
	case op == 0x14 || op == 0x15 || op >= 0xd3 && op <= 0xd6:
		return "typed function references"
	case op == 0xfb:
		return "garbage collection"
	case op == 0xfe:
		return "threads"
	}
	return "no proposal that is known"
}

// code reads the code section and writes it with charges.
func (p *pass) code(r *reader) {
	f := &function{p: p}
	out := make([]byte, 0, len(r.b)+len(r.b)/8)
	index := len(p.m.Imports)
	p.sections[sectionCode].count = r.vector(maxEntries, func() {
		if index >= len(p.functions) {
			r.fail("more bodies than functions")
			return
		}
		body := r.bytes(r.u32())
		if r.err != nil {
			return
		}
		if err := f.read(body, index); err != nil {
			r.stop(fmt.Errorf("function %d: %w", index, err))
			return
		}
		out = f.write(out)
		index++
	})
	if r.err == nil && index < len(p.functions) {
		r.fail("fewer bodies than functions")
	}
	p.sections[sectionCode].entries = out
}

// function is the body that is being read. It is reused.
type function struct {
	reader
	p          *pass
	groups     uint32 // declarations of locals
	groupsEnd  int    // where their count ends
	codeStart  int
	locals     uint32 // with parameters
	calls      bool
	needsLocal bool // a scratch local, for the sizes of bulk instructions
	size       size

	// charges in order; the first is that of the entry. current is the one that pays for the code being read: way bytes on
	// the longest way from there to the byte from, never if nothing leads there.
	charges []charge
	current int32
	way     int32
	from    int
	open    []frame
	body    []byte
}

// frame is a block that is open.
type frame struct {
	charge  int32 // that pays for what follows the block
	outside int32 // the same, if it is a loop with a charge of its own; else none
	end     int32 // longest way to its end by a branch
	skip    int32 // longest way past it, if it is an if without else
}

// never is the way to what nothing leads to.
const never = -1

// size is what there is of what is costly to compile.
type size struct{ blocks, loops, jumps, labels, values int }

// check compares it with the bounds.
func (f *function) check() {
	s := &f.size
	for _, bound := range []struct {
		what    string
		n, most int
	}{
		{"blocks", s.blocks, maxBlocks},
		{"loops", s.loops, maxLoops},
		{"branches", s.jumps, maxJumps},
		{"labels of br_table", s.labels, maxLabels},
		{"results of calls", s.values, maxValues},
	} {
		if bound.n > bound.most {
			f.fail("more than %d %s in a function", bound.most, bound.what)
		}
	}
	if places := s.blocks + s.jumps + s.labels; int64(f.locals)*int64(places) > maxMerges {
		f.fail("%d local variables in %d blocks and branches are too many; build it with optimisation", f.locals, places)
	}
}

// charge is a place where code pays.
type charge struct {
	at   int32 // before this byte
	own  int32 // bytes of code that are paid for: those on the longest way through it
	way  int32 // to the loop inside of it that is being read
	bulk byte  // the second half of a bulk instruction, which is there; 0 for a loop or function
}

// instructionLen is that of bulk instructions which may be done in pieces.
var instructionLen = [...]int32{memoryCopy: 4, memoryFill: 3}

// read reads one body.
func (f *function) read(body []byte, index int) error {
	if len(body) > maxBody {
		return fmt.Errorf("it has more than %d KiB", maxBody>>10)
	}
	f.reader = reader{b: body}
	f.calls, f.needsLocal = false, false
	f.size = size{}
	f.declarations(uint32(len(f.p.types[f.p.functions[index]].params)))
	f.charges = append(f.charges[:0], charge{at: int32(f.at)})
	f.open, f.current, f.way, f.from = f.open[:0], 0, 0, f.at
	f.instructions()
	return f.err
}

// declarations reads those of locals.
func (f *function) declarations(parameters uint32) {
	var n uint64
	count := f.reader
	count.u32()
	f.groupsEnd = count.at
	f.groups = f.vector(maxLocals, func() {
		n += uint64(f.u32())
		f.value()
	})
	f.p.locals += n
	if n > maxLocals || f.p.locals > maxModuleLocals {
		f.fail("too many local variables")
		return
	}
	f.locals, f.codeStart = parameters+uint32(n), f.at
}

// instructions reads the code to the end that closes the function, which must be the last byte.
func (f *function) instructions() {
	p := f.p
	for f.at < len(f.b) {
		op := f.b[f.at]
		f.at++
		switch shapes[op] {
		case plain:
		case local:
			f.within("local", f.u32(), int(f.locals))
		case number32:
			f.signed(32)
		case access:
			f.access()
		case global:
			f.within("global", f.u32(), int(p.globals))
		case label:
			f.size.jumps++
			target := f.u32()
			f.advance()
			f.jump(target)
			if op == opBr {
				f.way = never
			}
		case call:
			if i := f.u32(); f.within("function", i, len(p.functions)) {
				f.call(p.functions[i])
			}
		case block:
			f.blockType()
			f.enter()
			if op == opIf {
				f.open[len(f.open)-1].skip = f.way
			}
		case loop:
			f.blockType()
			f.enterLoop()
		case otherwise:
			f.turn()
		case leaving:
			f.advance()
			f.way = never
		case end:
			if len(f.open) == 0 {
				f.close(f.at)
				return
			}
			f.leave()
		case number64:
			f.signed(64)
		case indirect:
			if i := f.u32(); f.within("type", i, len(p.types)) {
				f.call(i)
			}
			f.u32()
		case labels:
			f.advance() // its labels are not run through
			f.size.labels += int(f.vector(maxLabels, func() { f.jump(f.u32()) }))
			f.jump(f.u32())
			f.way = never
		case four:
			f.bytes(4)
		case eight:
			f.bytes(8)
		case typed:
			if n := f.byte(); n != 1 {
				f.fail("select of %d types", n)
			}
			f.value()
		case table:
			f.u32()
		case setTable:
			f.u32()
			p.cannot("it changes its tables (table.set)")
		case wholeMemory:
			f.needMemory()
			f.zero()
		case refNull:
			f.refType()
		case refFunc:
			if i := f.u32(); f.within("function", i, len(p.functions)) && !p.declared[i] {
				f.fail("ref.func of function %d, which is not declared", i)
			}
		case misc:
			f.misc()
		case vector:
			f.vectorInstruction()
		default:
			f.fail("instruction 0x%x (%s) is not offered; build for WebAssembly 2.0", op, proposal(op))
		}
	}
	if f.err == nil {
		f.fail("it has no end")
	}
}

// close ends a function: nothing may follow.
func (f *function) close(at int) {
	if at != len(f.b) {
		f.fail("%d bytes after its end", len(f.b)-at)
	}
	f.check()
	f.advance()
}

// call notes one of a function of a type.
func (f *function) call(kind uint32) {
	f.calls = true
	f.size.values += len(f.p.types[kind].results)
}

func (f *function) needMemory() {
	if f.p.memory == nil {
		f.fail("it uses memory, and there is none")
	}
}

func (f *function) access() {
	f.needMemory()
	f.u32()
	f.u32()
}

// blockType reads one (5.4.1). Blocks that take much are refused: nested ones cost two bytes each, and compilers pay for
// all their parameters.
func (f *function) blockType() {
	if f.left() > 0 && (f.b[f.at] == emptyType || isValue(f.b[f.at])) {
		f.at++
		return
	}
	i := f.signed(33)
	if f.err == nil && (i < 0 || i >= int64(len(f.p.types))) {
		f.fail("block type %d of %d", i, len(f.p.types))
	}
	if f.err == nil && len(f.p.types[i].params) > maxBlockParams {
		f.fail("a block with more than %d parameters", maxBlockParams)
	}
}

// advance goes on to the byte that is read next.
func (f *function) advance() {
	if f.way != never {
		c := &f.charges[f.current]
		f.way += int32(f.at - f.from)
		c.own = max(c.own, f.way)
	}
	f.from = f.at
}

// jump notes a branch: the end of its block can be reached from here, out of loops that are paid for by themselves. The head
// of a loop pays when it is reached, and nothing follows the end of a function.
func (f *function) jump(label uint32) {
	if f.way == never || uint64(label) >= uint64(len(f.open)) {
		return
	}
	t := &f.open[len(f.open)-1-int(label)]
	switch {
	case t.outside != none:
	case t.charge == f.current:
		t.end = max(t.end, f.way)
	default:
		t.end = max(t.end, f.charges[t.charge].way)
	}
}

// enter notes a block.
func (f *function) enter() {
	f.size.blocks++
	f.advance()
	f.open = append(f.open, frame{charge: f.current, outside: none, end: never, skip: never})
}

func (f *function) enterLoop() {
	f.size.loops++
	f.enter()
	if f.p.Fuel == 0 {
		return
	}
	f.open[len(f.open)-1].outside = f.current
	f.charges[f.current].way = f.way
	f.current = int32(len(f.charges))
	f.charge(f.at, 0)
	f.way = min(f.way, 0)
}

// turn goes from the one half of an if to the other.
func (f *function) turn() {
	f.advance()
	if len(f.open) == 0 {
		return // the engine refuses it
	}
	t := &f.open[len(f.open)-1]
	t.end = max(t.end, f.way)
	f.way, t.skip = t.skip, never
}

func (f *function) leave() {
	f.advance()
	t := f.open[len(f.open)-1]
	f.open = f.open[:len(f.open)-1]
	if t.outside == none {
		f.way = max(f.way, t.end, t.skip)
		return
	}
	f.current = t.outside
	if f.way != never {
		f.way = f.charges[f.current].way
	}
}

// charge notes that code pays before the byte at.
func (f *function) charge(at int, bulk byte) {
	if f.p.charges++; f.p.charges > maxCharges {
		f.fail("more than %d loops and bulk instructions", maxCharges)
	}
	f.charges = append(f.charges, charge{at: int32(at), bulk: bulk})
}

// Second halves of instructions 0xfc. Those below are conversions.
const (
	memoryInit = 8 + iota
	dataDrop
	memoryCopy
	memoryFill
	tableInit
	elemDrop
	tableCopy
	tableGrow
	tableSize
	tableFill
)

func (f *function) misc() {
	at := f.at - 1
	sub := f.byte() // of one byte, as everybody writes it; engines do not agree on longer ones
	switch sub {
	case memoryInit, tableInit, tableCopy:
		f.u32()
		f.u32()
	case memoryCopy:
		f.zero()
		f.zero()
	case memoryFill:
		f.zero()
	case dataDrop, elemDrop, tableGrow, tableSize, tableFill:
		f.u32()
	default:
		if sub > tableFill {
			f.fail("instruction 0xfc 0x%x is not offered; build for WebAssembly 2.0", sub)
		}
		return
	}
	switch sub {
	case memoryInit, memoryCopy, memoryFill:
		f.needMemory()
		f.bulk(at, sub)
	case tableInit, tableCopy, tableFill:
		f.bulk(at, sub)
	}
	if reason := unrestorable[sub]; reason != "" {
		f.p.cannot(reason)
	}
}

var unrestorable = [tableFill + 1]string{
	memoryInit: "it chooses its data while it runs (memory.init)",
	dataDrop:   "it drops its data while it runs (data.drop)",
	tableInit:  "it changes its tables (table.init)",
	elemDrop:   "it drops elements while it runs (elem.drop)",
	tableCopy:  "it changes its tables (table.copy)",
	tableGrow:  "it changes its tables (table.grow)",
	tableFill:  "it changes its tables (table.fill)",
}

// bulk notes an instruction whose last operand says how much it does.
func (f *function) bulk(at int, sub byte) {
	if f.p.Fuel > 0 {
		f.needsLocal = true
		f.p.large = f.p.large || sub == memoryFill || sub == memoryCopy
		f.charge(at, sub)
	}
}

// Second halves of instructions 0xfd.
const (
	vectorConst      = 12 // those below access memory
	vectorShuffle    = 13
	vectorLanes      = 21
	vectorLanesEnd   = 34
	vectorLaneAccess = 84
	vectorLaneEnd    = 91
	vectorZeroEnd    = 93 // two loads after those with lanes
)

// vectorInstruction reads the rest of one. Its second half is a LEB128 number of at most 8 bits; only the shortest form
// is taken, since engines that read a byte take what follows for the next instruction: 0x01 is nop, anything else is not.
func (f *function) vectorInstruction() {
	sub := f.byte()
	if sub >= 0x80 && f.byte() != 1 {
		f.fail("a vector instruction that is not offered; build for WebAssembly 2.0")
		return
	}
	switch {
	case sub < vectorConst:
		f.access()
	case sub <= vectorShuffle:
		f.bytes(16)
	case sub >= vectorLanes && sub <= vectorLanesEnd:
		f.byte()
	case sub >= vectorLaneAccess && sub <= vectorLaneEnd:
		f.access()
		f.byte()
	case sub > vectorLaneEnd && sub <= vectorZeroEnd:
		f.access()
	}
}
