package rewrite

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// rounds is what the guest has counted at address 0.
func (o outcome) rounds() uint32 { return binary.LittleEndian.Uint32(append(o.Memory, 0, 0, 0, 0)) }

// TestFuel_WhatRunsPays: whatever a guest does, what it pays is in proportion; so the time between two yields is bounded.
func TestFuel_WhatRunsPays(t *testing.T) {
	t.Parallel()
	const quantum, yields = 20_000, 300
	long := uint32(512 * 9 / bytesPerUnit) // units of 512 stores of about 9 bytes
	for _, test := range []struct {
		export      string
		least, most uint32 // units of each round
	}{
		{"spin", 1, 3},
		{"explode", 1, 3},
		{"fill", 1 << 20, 1<<20 + 3},
		{"copy", 1 << 20, 1<<20 + 3},
		{"straight", long, long + long/2},
		{"nested", 2, 4},
	} {
		t.Run(test.export, func(t *testing.T) {
			t.Parallel()
			m, err := Rewrite(read(t, "testdata/yield.wasm"), Options{Fuel: quantum})
			if err != nil {
				t.Fatal(err)
			}
			o, err := run{module: m, calls: []string{test.export}, most: yields}.start(t, nil)
			if err != nil || !o.stopped {
				t.Fatalf("want it stopped, got %q, %v", o.Err, err)
			}
			if o.used < quantum*yields || o.used > quantum*yields+1<<20 {
				t.Errorf("%d yields of %d units, but %d were used", yields, quantum, o.used)
			}
			rounds := o.rounds()
			if least, most := uint64(rounds-1)*uint64(test.least), uint64(rounds)*uint64(test.most); o.used < least || o.used > most {
				t.Errorf("%d rounds cost %d units, want %d to %d", rounds, o.used, least, most)
			}
		})
	}
}

// TestFuel_RecursionPays: until the stack is full.
func TestFuel_RecursionPays(t *testing.T) {
	t.Parallel()
	m, err := Rewrite(read(t, "testdata/yield.wasm"), Options{Fuel: 1000})
	if err != nil {
		t.Fatal(err)
	}
	o, err := run{module: m, calls: []string{"recurse"}, most: 1 << 20}.start(t, nil)
	if err != nil || !strings.Contains(o.Err, "stack overflow") {
		t.Fatalf("want a stack overflow, got %q, %v", o.Err, err)
	}
	if rounds := uint64(o.rounds()); o.used < rounds || o.used > 2*rounds {
		t.Errorf("%d calls cost %d units", rounds, o.used)
	}
	if o, err = (run{module: m, calls: []string{"recurse"}, most: 10}).start(t, nil); err != nil || !o.stopped {
		t.Errorf("want it stopped, got %q, %v", o.Err, err)
	}
}

// TestFuel_LargestPaymentDoesNotWrapAround: the largest size, with the smallest and the largest quantum.
func TestFuel_LargestPaymentDoesNotWrapAround(t *testing.T) {
	t.Parallel()
	const units = huge >> bulkShift
	for _, quantum := range []uint32{1, 1000, MaxFuel} {
		m, err := Rewrite(read(t, "testdata/yield.wasm"), Options{Fuel: quantum})
		if err != nil {
			t.Fatal(err)
		}
		o, err := run{module: m, calls: []string{"too_much"}, most: 1 << 30}.start(t, nil)
		if err != nil || !strings.Contains(o.Err, "out of bounds") || o.used < units || o.used > units+10 {
			t.Errorf("quantum %d: want a trap for %d units, got %q for %d, %v", quantum, units, o.Err, o.used, err)
		}
	}
}

// TestFuel_OperandsStay: those of loops and of bulk instructions.
func TestFuel_OperandsStay(t *testing.T) {
	t.Parallel()
	for _, quantum := range []uint32{0, 1, 20_000} { // with 1 each payment yields
		m, err := Rewrite(read(t, "testdata/yield.wasm"), Options{Fuel: quantum})
		if err != nil {
			t.Fatal(err)
		}
		o, err := run{module: m, calls: []string{"values"}, args: []uint64{5}, most: 1 << 30}.start(t, nil)
		if err != nil || o.Err != "" || len(o.Results) != 1 || o.Results[0][0] != 1 || o.Results[0][1] != 15 || len(o.Memory) != 39 {
			t.Errorf("quantum %d: want 1, 15, got %+v, %v", quantum, o, err)
		}
	}
}

// TestFuel_SmallLeavesAreFree: and nothing else is.
func TestFuel_SmallLeavesAreFree(t *testing.T) {
	t.Parallel()
	nops := func(n int) []byte { return bytes.Repeat([]byte{opNop}, n) }
	for name, test := range map[string]struct {
		code    []byte
		charges int
	}{
		"nothing":               {nil, 0},
		"63 bytes":              {nops(62), 0},
		"64 bytes":              {nops(63), 1},
		"a call":                {[]byte{opCall, 0}, 1},
		"an indirect call":      {[]byte{opI32Const, 0, opCallIndirect, 0, 0}, 1},
		"a loop":                {[]byte{opLoop, emptyType, opEnd}, 1},
		"long code in a loop":   {append(append([]byte{opLoop, emptyType}, nops(100)...), opEnd), 1},
		"loops in each other":   {[]byte{opLoop, emptyType, opLoop, emptyType, opEnd, opEnd}, 2},
		"a fill":                {[]byte{0, opMisc, memoryFill, 0}, 1 + 2 + 3}, // and those of what fills and copies in pieces
		"a call in a loop":      {[]byte{opLoop, emptyType, opCall, 0, opEnd}, 2},
		"a block and a size":    {[]byte{opBlock, emptyType, opMemorySize, 0, opDrop, opEnd}, 0},
		"a number like a call":  {[]byte{opI32Const, opCall, opDrop}, 0},
		"growing and dropping":  {[]byte{opI32Const, 0, opMemoryGrow, 0, opDrop}, 0},
		"a copy between tables": {[]byte{0, opMisc, tableCopy, 0, 0}, 1},
	} {
		m, err := Rewrite(code(test.code...), Options{Fuel: 1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// The global of the guest is 0, that of the fuel 1, and $slow takes from it, too.
		if n := strings.Count(string(m.Wasm), string([]byte{opI32Sub, opGlobalSet, 1})); n != test.charges {
			t.Errorf("%s: want %d charges, got %d", name, test.charges, n)
		}
	}
}

// TestFuel_WeighsCode: each loop pays for its own bytes, once in a round.
func TestFuel_WeighsCode(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("\x41\x07\x1a", 100) // 300 bytes
	inner := "\x03\x40" + filler + "\x0b"
	outer := "\x03\x40" + filler + filler + inner + filler + "\x0b"
	m, err := Rewrite(code([]byte(filler+outer+filler)...), Options{Fuel: 1})
	if err != nil {
		t.Fatal(err)
	}
	if want, got := string([]byte{1 + (600+3)/32, 1 + (900+3)/32, 1 + 301/32}), weights(m); got != want {
		t.Errorf("want % x, got % x", want, got)
	}
}

// weights are the payments of a module, in units.
func weights(m *Module) (units string) {
	for _, part := range strings.Split(string(m.Wasm), string([]byte{opGlobalGet, 1, opI32Const}))[1:] {
		if i := strings.Index(part, string([]byte{opI32Sub, opGlobalSet, 1})); i == 1 {
			units += part[:1]
		}
	}
	return units
}

// TestFuel_PaysForTheLongestWay: once in a round, whichever way it goes.
func TestFuel_PaysForTheLongestWay(t *testing.T) {
	t.Parallel()
	filler := func(units int) string { return strings.Repeat("\x01", units*bytesPerUnit) }
	for name, test := range map[string]struct {
		code string
		want []byte
	}{
		"the longer half":                  {"\x41\x00\x04\x40" + filler(5) + "\x05" + filler(9) + "\x0b", []byte{10}},
		"the longer half first":            {"\x41\x00\x04\x40" + filler(9) + "\x05" + filler(5) + "\x0b", []byte{10}},
		"an if without else":               {"\x41\x00\x04\x40" + filler(5) + "\x0b" + filler(4), []byte{10}},
		"an if that leaves":                {"\x41\x00\x04\x40" + filler(5) + "\x0f\x0b" + filler(4), []byte{6}},
		"nothing behind unreachable":       {filler(3) + "\x00" + filler(90), []byte{4}},
		"what is jumped over":              {filler(3) + "\x02\x40\x0c\x00" + filler(90) + "\x0b" + filler(3), []byte{7}},
		"what is perhaps jumped over":      {filler(3) + "\x02\x40\x41\x00\x0d\x00" + filler(5) + "\x0b" + filler(3), []byte{12}},
		"a switch":                         {"\x02\x40\x02\x40\x02\x40\x41\x00\x0e\x02\x00\x01\x02\x0b" + filler(7) + "\x0c\x01\x0b" + filler(5) + "\x0b" + filler(2), []byte{10}},
		"a switch that falls through":      {"\x02\x40\x02\x40\x41\x00\x0e\x01\x00\x01\x0b" + filler(7) + "\x0b" + filler(2), []byte{10}},
		"a switch in a loop":               {"\x03\x40\x02\x40\x02\x40\x41\x00\x0e\x01\x00\x01\x0b" + filler(7) + "\x0c\x01\x0b" + filler(5) + "\x0c\x00\x0b" + filler(3), []byte{8}},
		"out of a loop":                    {"\x02\x40" + filler(4) + "\x03\x40" + filler(6) + "\x0c\x01\x0b" + filler(90) + "\x0b" + filler(2), []byte{7, 7}},
		"behind a loop that is left below": {"\x02\x40" + filler(4) + "\x03\x40" + filler(6) + "\x0b" + filler(3) + "\x0b" + filler(2), []byte{10, 7}},
		"a loop that nothing leads to":     {filler(2) + "\x00\x03\x40" + filler(6) + "\x0b", []byte{3, 1}},
	} {
		m, err := Rewrite(code([]byte(test.code)...), Options{Fuel: 1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := []byte(weights(m))
		if len(got) == len(test.want)-1 { // the entry is free
			got = append([]byte{1}, got...)
		}
		if !bytes.Equal(got, test.want) {
			t.Errorf("%s: want %d, got %d", name, test.want, got)
		}
	}
}
