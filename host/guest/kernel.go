package guest

import (
	"encoding/binary"
	"math"
	"slices"
	"unsafe"

	"github.com/tetratelabs/wazero/api"

	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

// kernel is the Extism side of one call in the native engine: its blocks, input, output and variables. It is the context
// that wazero hands to host functions, so that finding it costs one type assertion.
//
// Every number in here may come from a hostile guest. Offsets that no correct guest uses end it with ReasonTrap.
type kernel struct {
	meter
	engine *native
	memory *snapshot.Memory
	fuel   api.MutableGlobal // units left of the quantum; nil as long as there is no instance
	clock  clock
	dice   dice
	pace   pace
	script *javascript.Instance // of a JavaScript plugin
	called *function            // runs now; nil for a JavaScript plugin

	arena    []byte  // blocks; offset 0 is the index 0, the first arenaBase bytes are never used
	high     int     // the longest that it was
	blocks   []block // in order of offset
	maxArena uint64

	input      []byte
	inputBlock uint64 // of the copy that input_offset made
	out        span
	failure    span
	vars       map[string][]byte
	varBytes   int
}

// block is one Extism block. The list is kept here, not in the arena, where the guest could forge it.
type block struct {
	at, n uint64
	free  bool
}

// span is a part of the arena that the host will read at the end of the call.
type span struct{ at, n uint64 }

func (s span) overlaps(b block) bool { return s.n > 0 && s.at < b.at+b.n && b.at < s.at+s.n }

const (
	arenaBase  = 64      // lowest offset; 0 means no block
	arenaAlign = 16      // of blocks
	blockCost  = 32      // counted for each block beside its bytes, so that tiny ones are not free
	maxVars    = 1 << 20 // bytes of variables of one call
	logOff     = math.MaxInt32
	keptArena  = 256 << 10 // that an idle instance may keep
	keptBlocks = 1 << 10
)

// begin gives the kernel of a call its input and its sources.
func (k *kernel) begin(e *native) {
	k.engine = e
	now := k.started
	if !e.config.ours || k.call.Now != nil {
		now = k.now(e.config.Now)
	}
	k.clock.start(now, bootMono)
	k.dice.begin(e.config.Entropy)
	k.pace.begin(e.turns, k.started)
	k.input = k.call.Input
	k.maxArena = k.limits.ArenaBytes + uint64(len(k.input)) + arenaBase + 2*blockCost
	if k.arena == nil {
		k.arena = make([]byte, 0, 1<<10)
	}
	k.arena = k.arena[:arenaBase]
	k.high = arenaBase
}

// resume follows begin for an instance that was set up before: it goes on where the template ended.
func (k *kernel) resume(t *template) {
	k.clock.mono = t.mono
	k.arena = append(k.arena[:0], t.arena...)
	k.high = len(k.arena)
	k.blocks = append(k.blocks[:0], t.blocks...)
	k.maxArena += uint64(len(t.arena)) + blockCost*uint64(len(t.blocks))
}

// forget clears what is left of a call: an idle instance holds nothing of a tenant.
func (k *kernel) forget() {
	clear(k.arena[:k.high])
	arena, blocks := k.arena[:0], k.blocks[:0]
	if cap(arena) > keptArena {
		arena = nil
	}
	if cap(blocks) > keptBlocks {
		blocks = nil
	}
	*k = kernel{memory: k.memory, fuel: k.fuel, script: k.script, arena: arena, blocks: blocks}
}

// kept is about how many bytes a kernel without a call takes.
func (k *kernel) kept() uint64 {
	return uint64(cap(k.arena)) + uint64(cap(k.blocks))*uint64(unsafe.Sizeof(block{}))
}

// running implements blocks.
func (k *kernel) running() *meter { return &k.meter }

// ask implements blocks. The guest waits, so it needs no core; what the host answers brings its clock up to date.
func (k *kernel) ask(im Import, request []byte) []byte {
	var answer []byte
	k.wait(func() { answer = k.capability(im, request) })
	k.clock.catchUp(k.now(k.engine.config.Now))
	return answer
}

// alloc makes a block of n zero bytes.
func (k *kernel) alloc(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	at := k.reserve(n)
	clear(k.arena[at:])
	return at
}

// place implements blocks.
func (k *kernel) place(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	at := k.reserve(uint64(len(b)))
	copy(k.arena[at:], b)
	return at
}

// reserve appends a block of n bytes, n > 0, whose content is whatever was there.
func (k *kernel) reserve(n uint64) uint64 {
	at := uint64(len(k.arena))
	used := at + blockCost*uint64(len(k.blocks)+1)
	if used > k.maxArena || n > k.maxArena-used {
		k.stop(ReasonArena, "%s", arenaFull(k.limits.ArenaBytes))
	}
	k.pay(n)
	end := (at + n + arenaAlign - 1) &^ (arenaAlign - 1)
	if end > uint64(cap(k.arena)) {
		grown := make([]byte, at, max(end, min(2*uint64(cap(k.arena)), k.maxArena)))
		copy(grown, k.arena)
		k.arena = grown
	}
	k.arena = k.arena[:end]
	k.high = max(k.high, len(k.arena))
	clear(k.arena[at+n:]) // nobody else does, and a view may reach it
	k.blocks = append(k.blocks, block{at: at, n: n})
	return at
}

// find returns the index of the block at offset, -1 if there is none.
func (k *kernel) find(offset uint64) int {
	if n := len(k.blocks); n > 0 && k.blocks[n-1].at == offset && !k.blocks[n-1].free {
		return n - 1
	}
	i, ok := slices.BinarySearchFunc(k.blocks, offset, func(b block, offset uint64) int {
		switch {
		case b.at < offset:
			return -1
		case b.at > offset:
			return 1
		}
		return 0
	})
	if !ok || k.blocks[i].free {
		return -1
	}
	return i
}

// length is the size of the block at offset, 0 if there is none.
func (k *kernel) length(offset uint64) uint64 {
	if i := k.find(offset); i >= 0 {
		return k.blocks[i].n
	}
	return 0
}

// block implements blocks.
func (k *kernel) block(offset uint64) []byte {
	if offset == 0 {
		return nil
	}
	i := k.find(offset)
	if i < 0 {
		k.trap(noBlock, offset)
	}
	return k.view(offset, k.blocks[i].n)
}

// view is n bytes of the arena, whatever blocks they are in.
func (k *kernel) view(at, n uint64) []byte {
	if n == 0 {
		return nil
	}
	if at < arenaBase || at > uint64(len(k.arena)) || n > uint64(len(k.arena))-at {
		k.trap("%d bytes at offset %d are not all in Extism memory", n, at)
	}
	return k.arena[at : at+n : at+n]
}

// free gives a block back; freeing what is no block does nothing. Space at the end is used again.
func (k *kernel) free(offset uint64) {
	i := k.find(offset)
	if i < 0 {
		return
	}
	k.blocks[i].free = true
	if offset == k.inputBlock {
		k.inputBlock = 0
	}
	for n := len(k.blocks) - 1; n >= 0; n-- {
		// Guests may free their output after setting it: it stays until it is read.
		if b := k.blocks[n]; !b.free || k.out.overlaps(b) || k.failure.overlaps(b) {
			break
		}
		k.arena = k.arena[:k.blocks[n].at]
		k.blocks = k.blocks[:n]
	}
}

// reset forgets everything of the call, as the reference kernel does.
func (k *kernel) reset() {
	k.pay(uint64(len(k.arena)))
	clear(k.arena) // not what is behind its end, or resetting again and again would cost more than it says; alloc clears that
	k.arena, k.blocks = k.arena[:arenaBase], k.blocks[:0]
	k.input, k.inputBlock, k.out, k.failure = nil, 0, span{}, span{}
}

func (k *kernel) inputLength() uint64 {
	k.ofCall("the input")
	return uint64(len(k.input))
}

func (k *kernel) inputOffset() uint64 {
	k.ofCall("the input")
	if k.inputBlock == 0 {
		k.inputBlock = k.place(k.input)
	}
	return k.inputBlock
}

func (k *kernel) inputByte(offset uint64) byte {
	k.ofCall("the input")
	if offset >= uint64(len(k.input)) {
		k.trap("offset %d is behind the input of %d bytes", offset, len(k.input))
	}
	return k.input[offset]
}

// inputWord is 8 bytes of input; behind its end they are 0.
func (k *kernel) inputWord(offset uint64) uint64 {
	k.ofCall("the input")
	if offset >= uint64(len(k.input)) {
		k.trap("offset %d is behind the input of %d bytes", offset, len(k.input))
	}
	rest := k.input[offset:]
	if len(rest) >= 8 {
		return binary.LittleEndian.Uint64(rest)
	}
	var word [8]byte
	copy(word[:], rest)
	return binary.LittleEndian.Uint64(word[:])
}

// setInput makes n bytes of the arena the input. It is a copy beside the arena and so has the limit of an input.
func (k *kernel) setInput(at, n uint64) {
	k.ofCall("the input")
	if n > k.limits.InputBytes {
		k.stop(ReasonArena, "input_set of %s is over the limit of %s", size(n), size(k.limits.InputBytes))
	}
	input := k.view(at, n)
	k.pay(n)
	k.input, k.inputBlock = slices.Clone(input), 0
}

func (k *kernel) setOutput(at, n uint64) {
	k.ofCall("the output")
	k.checkOutput(n)
	k.view(at, n)
	k.out = span{at, n}
}

// output is a copy of what the guest set.
func (k *kernel) output() []byte { return slices.Clone(k.view(k.out.at, k.out.n)) }

func (k *kernel) setError(offset uint64) {
	k.ofCall("the error")
	k.failure = span{offset, uint64(len(k.block(offset)))}
}

// errorText is what the guest set as its error, "" if nothing.
func (k *kernel) errorText() string {
	text := k.view(k.failure.at, k.failure.n)
	return string(text[:min(len(text), 2*maxTextBytes)])
}

func (k *kernel) config(name uint64) uint64 {
	k.ofCall("the configuration")
	value, ok := k.call.Config[string(k.block(name))]
	if !ok {
		return 0
	}
	return k.place([]byte(value))
}

func (k *kernel) getVar(name uint64) uint64 {
	k.ofCall("variables")
	value, ok := k.vars[string(k.block(name))]
	k.free(name)
	if !ok {
		return 0
	}
	return k.place(value)
}

// setVar keeps a variable until the end of the call; value 0 removes it.
func (k *kernel) setVar(name, value uint64) {
	k.ofCall("variables")
	key := string(k.block(name))
	old, existed := k.vars[key]
	bytes := k.varBytes
	if existed {
		bytes -= len(key) + len(old) + blockCost
	}
	if value == 0 {
		delete(k.vars, key)
	} else {
		content := k.block(value)
		k.pay(uint64(len(content)))
		if bytes += len(key) + len(content) + blockCost; bytes > maxVars {
			k.stop(ReasonArena, "%s", varsFull())
		}
		if k.vars == nil {
			k.vars = map[string][]byte{}
		}
		k.vars[key] = slices.Clone(content)
	}
	k.varBytes = bytes
	k.free(name)
	k.free(value)
}

// logLevel is the lowest level that is worth writing.
func (k *kernel) logLevel() uint64 {
	k.ofCall("the level of its log")
	if k.call.Log == nil {
		return logOff
	}
	return uint64(LevelTrace)
}

func (k *kernel) logBlock(level Level, offset uint64) {
	line := k.block(offset)
	k.pay(uint64(len(line)))
	k.wait(func() { k.meter.log(level, line) }) // it may be slow to write
	k.free(offset)
}

// guestBytes is n bytes of linear memory at p.
func (k *kernel) guestBytes(p, n uint64) []byte {
	b, ok := k.at(uint32(p), uint32(n))
	if !ok {
		k.trap("%d bytes at address %d are not all in linear memory", uint32(n), uint32(p))
	}
	k.pay(uint64(len(b)))
	return b
}

// at is n bytes of linear memory from p, false if they are not all there. It is a view until the guest runs on.
func (k *kernel) at(p, n uint32) ([]byte, bool) {
	memory := k.memory.Bytes()
	end := uint64(p) + uint64(n)
	if end > uint64(len(memory)) {
		return nil, false
	}
	return memory[p:end:end], true
}
