package rewrite

import (
	"encoding/binary"
	"fmt"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// order of sections in a binary (5.5.16).
var order = [...]byte{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal, sectionExport, sectionStart,
	sectionElement, sectionDataCount, sectionCode, sectionData,
}

// write adds what is ours and writes the module.
func (p *pass) write() {
	if p.Fuel > 0 {
		p.addFuel()
	}
	if p.restores() {
		p.addRestore()
	} else {
		p.m.Data = nil
	}
	size := headerLen + len(p.names) + 32
	for _, c := range p.sections {
		size += len(c.entries) + 16
	}
	out := append(make([]byte, 0, size), 0, 'a', 's', 'm', 1, 0, 0, 0)
	for _, id := range order {
		if c := &p.sections[id]; c.present {
			var count []byte
			if id != sectionStart && id != sectionDataCount {
				count = appendU32(nil, c.count)
			}
			out = appendSection(out, id, count, c.entries)
		}
	}
	if len(p.names) > 0 {
		out = appendSection(out, sectionCustom, []byte("\x04name"), appendSection(nil, 1, nil, p.names))
	}
	p.m.Wasm = out
}

// addFuel adds the global, the function that yields, and a memory to yield through.
func (p *pass) addFuel() {
	p.add(sectionType, 0x60, 0, 0)
	p.add(sectionFunction, appendU32(nil, uint32(len(p.types)))...)
	p.add(sectionGlobal, append(appendI32([]byte{byte(wasm.I32), 1, opI32Const}, int32(p.Fuel)), opEnd)...)
	p.add(sectionCode, p.slowBody()...)
	if p.large {
		p.addPieces()
	}
	p.m.Fuel = exportFuel
	p.addExport(exportFuel, wasm.KindGlobal, p.fuel())
	least := uint32(0)
	if p.memory != nil {
		least = p.memory.least
	}
	p.sections[sectionMemory] = content{true, 1, appendU32(appendU32([]byte{1}, least), maxPages)}
}

// addRestore exports the state of instances and takes out what changes it when they start.
func (p *pass) addRestore() {
	for _, g := range p.mutable {
		name := fmt.Sprint(exportGlobal, g)
		p.m.Globals = append(p.m.Globals, name)
		p.addExport(name, wasm.KindGlobal, g)
	}
	if p.start != none {
		p.m.Start = exportStart
		p.addExport(exportStart, wasm.KindFunc, uint32(p.start))
	}
	for _, id := range []byte{sectionStart, sectionData, sectionDataCount} {
		p.sections[id] = content{}
	}
}

func (p *pass) addExport(name string, kind wasm.Kind, index uint32) {
	b := append(appendU32(nil, uint32(len(name))), name...)
	p.add(sectionExport, appendU32(append(b, byte(kind)), index)...)
}

// add appends an entry to a section. What was there is the input's and is copied the first time, since it has no room.
func (p *pass) add(id byte, entry ...byte) {
	c := &p.sections[id]
	c.present = true
	c.count++
	c.entries = append(c.entries, entry...)
}

func appendSection(b []byte, id byte, head, content []byte) []byte {
	b = appendU32(append(b, id), uint32(len(head)+len(content)))
	return append(append(b, head...), content...)
}

func appendU32(b []byte, n uint32) []byte { return binary.AppendUvarint(b, uint64(n)) }

// appendI32 writes a signed LEB128 number.
func appendI32(b []byte, n int32) []byte {
	for n < -64 || n > 63 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n)&0x7f)
}
