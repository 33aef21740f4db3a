package rewrite

import "unicode/utf8"

// custom keeps the names of functions, which tell an author where a trap was, if they are well formed; a custom section
// never makes a module unusable. Of several the first counts.
func (p *pass) custom(r reader) {
	if p.sections[sectionCustom].present || string(r.bytes(r.u32())) != "name" {
		return
	}
	p.sections[sectionCustom].present = true
	var names []byte
	for r.left() > 0 {
		id, content := r.byte(), r.bytes(r.u32())
		if id == 1 {
			names = content
		}
	}
	entries := reader{b: names}
	entries.vector(maxEntries, func() {
		entries.u32()
		if !utf8.Valid(entries.bytes(entries.u32())) {
			entries.fail("a name is not UTF-8")
		}
	})
	if r.err == nil && entries.err == nil && entries.left() == 0 {
		p.names = names
	}
}
