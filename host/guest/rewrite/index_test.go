package rewrite

import (
	"strings"
	"testing"
)

// TestRewrite_NothingOfOursIsInReach: what we add stands behind the end of the guest's index spaces, so a number one too
// large would reach it; with the fuel in its hands a guest would run for ever.
func TestRewrite_NothingOfOursIsInReach(t *testing.T) {
	t.Parallel()
	empty := body([]byte{0}, opEnd)
	instruction := func(before ...byte) func(i byte) []byte {
		return func(i byte) []byte {
			return code(append(append([]byte{0}, before...), i, opEnd, opEnd)[:len(before)+2]...)
		}
	}
	inBlock := func(op byte) func(i byte) []byte {
		return func(i byte) []byte { return code(0, op, i, opEnd) }
	}
	element := func(content ...byte) func(i byte) []byte { // 0xff is the index
		return func(i byte) []byte {
			c := strings.ReplaceAll(string(content), "\xff", string(rune(i)))
			return module(oneType, oneFunction, oneTable, oneGlobal, section(sectionElement, []byte(c)), empty)
		}
	}
	export := func(kind byte) func(i byte) []byte {
		return func(i byte) []byte {
			return module(oneType, oneFunction, oneTable, oneMemory, oneGlobal, section(sectionExport, []byte{1, 1, 'x', kind, i}), empty)
		}
	}
	scratch := func(op byte) func(i byte) []byte { // one parameter and one local
		return func(i byte) []byte {
			return module(section(sectionType, []byte{1, 0x60, 1, 0x7f, 0}), oneFunction, oneMemory,
				body([]byte{1, 1, 0x7f}, 0, opMisc, memoryFill, 0, 0, op, i+1, opEnd))
		}
	}
	for name, attack := range map[string]func(i byte) []byte{
		"call":                           instruction(opCall),
		"ref.func":                       nil,
		"global.get":                     instruction(opGlobalGet),
		"global.set":                     instruction(opGlobalSet),
		"call_indirect":                  func(i byte) []byte { return code(0, opCallIndirect, i, 0) },
		"block":                          inBlock(opBlock),
		"loop":                           inBlock(opLoop),
		"if":                             inBlock(opIf),
		"a long block type":              func(i byte) []byte { return code(0, opBlock, 0x80|i, 0x80, 0, opEnd) },
		"a long function index":          func(i byte) []byte { return code(0, opCall, 0x80|i, 0x80, 0x80, 0x80, 0) },
		"local.get":                      scratch(opLocalGet),
		"local.set":                      scratch(opLocalGet + 1),
		"local.tee":                      scratch(opLocalTee),
		"element":                        element(1, 0, opI32Const, 0, opEnd, 1, 0xff),
		"passive element":                element(1, 1, 0, 1, 0xff),
		"element of a table":             element(1, 2, 0, opI32Const, 0, opEnd, 0, 1, 0xff),
		"declared element":               element(1, 3, 0, 1, 0xff),
		"element by expression":          element(1, 4, opI32Const, 0, opEnd, 1, opRefFunc, 0xff, opEnd),
		"passive element by expression":  element(1, 5, 0x70, 1, opRefFunc, 0xff, opEnd),
		"table's element by expression":  element(1, 6, 0, opI32Const, 0, opEnd, 0x70, 1, opRefFunc, 0xff, opEnd),
		"declared element by expression": element(1, 7, 0x70, 1, opRefFunc, 0xff, opEnd),
		"exported function":              export(0),
		"exported table":                 export(1),
		"exported memory":                export(2),
		"exported global":                export(3),
		"start": func(i byte) []byte {
			return module(oneType, oneFunction, section(sectionStart, []byte{i}), empty)
		},
		"constant": func(i byte) []byte {
			return module(oneType, oneFunction, section(sectionGlobal, []byte{1, 0x70, 0, opRefFunc, i, opEnd}), empty)
		},
		"type of a function": func(i byte) []byte {
			return module(oneType, section(sectionFunction, []byte{1, i}), empty)
		},
		"type of an import": func(i byte) []byte {
			return module(oneType, section(sectionImport, []byte("\x01\x01a\x01b\x00"), []byte{i}))
		},
	} {
		if name == "ref.func" { // it must be declared, too
			attack = func(i byte) []byte {
				return module(oneType, oneFunction, section(sectionExport, []byte{1, 1, 'x', 0, 0}), body([]byte{0}, opRefFunc, i, opDrop, opEnd))
			}
		}
		for _, o := range allOptions {
			if _, err := Rewrite(attack(0), o); err != nil {
				t.Errorf("%s: the last of the guest's own is refused: %v", name, err)
			}
			if _, err := Rewrite(attack(1), o); err == nil {
				t.Errorf("%s: a number of ours is in reach", name)
			} else if !strings.Contains(err.Error(), " 1 of 1") && !strings.Contains(err.Error(), " 2 of 2") {
				t.Errorf("%s: refused for another reason: %v", name, err)
			}
		}
	}
}

// TestRewrite_NobodyUsesOurMemory: fuel needs one, but a guest that has none gets none.
func TestRewrite_NobodyUsesOurMemory(t *testing.T) {
	t.Parallel()
	for name, instructions := range map[string][]byte{
		"load":           {opI32Load, 2, 0},
		"store":          {opI64Store32, 2, 0},
		"memory.size":    {opMemorySize, 0},
		"memory.grow":    {opMemoryGrow, 0},
		"memory.fill":    {opMisc, memoryFill, 0},
		"memory.copy":    {opMisc, memoryCopy, 0, 0},
		"memory.init":    {opMisc, memoryInit, 0, 0},
		"v128.load":      {opVector, 0, 0, 0},
		"v128.store":     {opVector, 11, 0, 0},
		"load lane":      {opVector, vectorLaneAccess, 0, 0, 0},
		"load with zero": {opVector, vectorZeroEnd, 0, 0},
	} {
		instructions = append([]byte{0}, append(instructions, opEnd)...)
		for _, o := range allOptions {
			if _, err := Rewrite(module(oneType, oneFunction, oneMemory, body([]byte{0}, instructions...)), o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := Rewrite(module(oneType, oneFunction, body([]byte{0}, instructions...)), o); err == nil {
				t.Errorf("%s: it is accepted without a memory", name)
			}
		}
	}
	if _, err := Rewrite(module(section(sectionData, []byte{1, 0, opI32Const, 0, opEnd, 0})), Options{Fuel: 1}); err == nil {
		t.Error("data: it is accepted without a memory")
	}
	m, err := Rewrite(module(section(sectionMemory, []byte{0})), Options{Fuel: 1})
	if err != nil || m.HasMemory || m.MaxMemory != 0 {
		t.Errorf("want no memory, got %+v, %v", m, err)
	}
}

// TestRewrite_OnlyWhatIsDeclaredCanBeReferred: exporting a start function would declare it.
func TestRewrite_OnlyWhatIsDeclaredCanBeReferred(t *testing.T) {
	t.Parallel()
	start, refer := section(sectionStart, []byte{0}), body([]byte{0}, opRefFunc, 0, opDrop, opEnd)
	if _, err := Rewrite(module(oneType, oneFunction, start, refer), Options{Restore: true}); err == nil {
		t.Error("want it refused")
	}
	exported := section(sectionExport, []byte{1, 1, 'x', 0, 0})
	if _, err := Rewrite(module(oneType, oneFunction, exported, start, refer), Options{Restore: true}); err != nil {
		t.Error(err)
	}
}
