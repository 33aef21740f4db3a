package main

import (
	"fmt"
	"log"
	"strings"
)

// codec writes AppendJSON and ReadJSON of the messages that travel; a manifest does not.
func codec(s *contractSpec) string {
	var b strings.Builder
	b.WriteString("package abi\n\nimport \"slices\"\n\n")
	travels := s.travelling()
	for _, m := range s.Messages {
		if !travels[m.Name] {
			continue
		}
		s.reader(&b, m)
		s.writer(&b, m)
	}
	return b.String()
}

// codecTests lists the messages for the tests of their codecs.
func codecTests(s *contractSpec) string {
	var b strings.Builder
	b.WriteString("package abi\n\nvar travelling = map[string]func() codecMessage{\n")
	travels := s.travelling()
	for _, m := range s.Messages {
		if travels[m.Name] {
			fmt.Fprintf(&b, "\t%q: func() codecMessage { return new(%s) },\n", m.Name, m.Name)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// travelling are the messages of exports and functions, and those within them.
func (s *contractSpec) travelling() map[string]bool {
	byName := map[string]message{}
	for _, m := range s.Messages {
		byName[m.Name] = m
	}
	travels := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if travels[name] {
			return
		}
		travels[name] = true
		for _, f := range byName[name].Fields {
			if inner := element(f.Type); s.isMessage(inner) {
				visit(inner)
			}
		}
	}
	visit("Answer")
	for _, e := range s.Exports {
		visit(e.Input)
		visit(e.Output)
	}
	for _, c := range s.Capabilities {
		for _, f := range c.Functions {
			visit(f.Request)
			visit(f.Response)
		}
	}
	return travels
}

func (s *contractSpec) reader(b *strings.Builder, m message) {
	fmt.Fprintf(b, "// ReadJSON implements Decodable.\nfunc (m *%s) ReadJSON(text []byte) bool {\n\t*m = %s{}\n\ts := scanner{text: text, room: maxRead}\n\tm.readFrom(&s)\n\tif !s.end() {\n\t\t*m = %s{}\n\t\treturn false\n\t}\n\treturn true\n}\n\n", m.Name, m.Name, m.Name)
	fmt.Fprintf(b, "func (m *%s) readFrom(s *scanner) {\n\tif !s.open('{') {\n\t\treturn\n\t}\n", m.Name)
	if len(m.Fields) == 0 {
		b.WriteString("\tfor first := true; s.more('}', first); first = false {\n\t\ts.key()\n\t\ts.skip()\n\t}\n}\n\n")
		return
	}
	if len(m.Fields) > 64 {
		log.Fatalf("the codec counts at most 64 fields; %s has more", m.Name)
	}
	b.WriteString("\tvar seen uint64\n\tfor first := true; s.more('}', first); first = false {\n\t\tswitch name := s.key(); string(name) {\n")
	var names []string
	for i, f := range m.Fields {
		fmt.Fprintf(b, "\t\tcase %q:\n\t\t\ts.once(&seen, %d)\n\t\t\t%s\n", f.Name, i, s.readField(f))
		names = append(names, fmt.Sprintf("%q", f.Name))
	}
	fmt.Fprintf(b, "\t\tdefault:\n\t\t\ts.unknown(name, %s)\n\t\t}\n\t}\n}\n\n", strings.Join(names, ", "))
}

func (s *contractSpec) readField(f field) string {
	target := "&m." + goName(f.Name)
	switch {
	case s.isMessage(f.Type) && f.Optional:
		return fmt.Sprintf("readPointer(s, %s, (*%s).readFrom)", target, f.Type)
	case s.isMessage(f.Type):
		return "m." + goName(f.Name) + ".readFrom(s)"
	}
	return s.readCall(f.Type, target)
}

// readCall is the call that reads a value of a type into target.
func (s *contractSpec) readCall(t, target string) string {
	for prefix, name := range map[string]string{"list<": "readList", "map<": "readMap"} {
		if inner, ok := cut(t, prefix); ok {
			return fmt.Sprintf("%s(s, %s, %s)", name, target, s.readFunc(inner))
		}
	}
	return fmt.Sprintf("%s(s, %s)", s.readFunc(t), target)
}

// readFunc is a function that reads a value of a type.
func (s *contractSpec) readFunc(t string) string {
	switch {
	case strings.HasPrefix(t, "list<") || strings.HasPrefix(t, "map<"):
		return fmt.Sprintf("func(s *scanner, v *%s) { %s }", s.goType(t, false), s.readCall(t, "v"))
	case s.isMessage(t):
		return fmt.Sprintf("func(s *scanner, v *%s) { v.readFrom(s) }", t)
	}
	return "read" + s.kind(t)
}

// kind is the end of the names of the functions for a type.
func (s *contractSpec) kind(t string) string {
	switch t {
	case "bool":
		return "Bool"
	case "int":
		return "Int"
	case "bytes":
		return "Bytes"
	case "json":
		return "Raw"
	case "float":
		log.Fatal("the codec knows no float yet")
	}
	return "Text[" + s.goType(t, false) + "]"
}

func (s *contractSpec) writer(b *strings.Builder, m message) {
	fmt.Fprintf(b, "// AppendJSON appends the message to b, as encoding/json writes it but without escapes for HTML. It reports false, and b as it\n// was, if a raw value in it is not JSON.\nfunc (m %s) AppendJSON(b []byte) ([]byte, bool) {\n\tw := writer{b: slices.Grow(b, %s)}\n\tif m.writeTo(&w); w.bad {\n\t\treturn b, false\n\t}\n\treturn w.b, true\n}\n\n", m.Name, s.size(m))
	fmt.Fprintf(b, "func (m *%s) writeTo(w *writer) {\n\tw.b = append(w.b, '{')\n", m.Name)
	for _, f := range m.Fields {
		value := "m." + goName(f.Name)
		if empty := s.empty(f); f.Optional && empty != "" {
			fmt.Fprintf(b, "\tif %s {\n\t\tw.name(`%q:`)\n\t\t%s\n\t}\n", fmt.Sprintf(empty, value), f.Name, s.writeCall(f.Type, value))
			continue
		}
		fmt.Fprintf(b, "\tw.name(`%q:`)\n\t%s\n", f.Name, s.writeCall(f.Type, value))
	}
	b.WriteString("\tw.b = append(w.b, '}')\n}\n\n")
}

// size is about how much a message takes: what is long in it, with some escapes, and room for the rest.
func (s *contractSpec) size(m message) string {
	size := fmt.Sprint(32 + 24*len(m.Fields))
	for _, f := range m.Fields {
		switch f.Type {
		case "string":
			size += "+len(m." + goName(f.Name) + ")/4*5"
		case "json":
			size += "+len(m." + goName(f.Name) + ")"
		case "bytes":
			size += "+len(m." + goName(f.Name) + ")/3*4"
		}
	}
	return size
}

// empty is the condition under which an optional field is written.
func (s *contractSpec) empty(f field) string {
	switch {
	case s.isMessage(f.Type):
		return "%s != nil"
	case f.Type == "bool":
		return "%s"
	case f.Type == "int":
		return "%s != 0"
	}
	return "len(%s) > 0"
}

func (s *contractSpec) writeCall(t, value string) string {
	if s.isMessage(t) {
		return value + ".writeTo(w)"
	}
	for prefix, name := range map[string]string{"list<": "writeList", "map<": "writeMap"} {
		if inner, ok := cut(t, prefix); ok {
			return fmt.Sprintf("%s(w, %s, %s)", name, value, s.writeFunc(inner))
		}
	}
	return fmt.Sprintf("%s(w, %s)", s.writeFunc(t), value)
}

func (s *contractSpec) writeFunc(t string) string {
	switch {
	case strings.HasPrefix(t, "list<") || strings.HasPrefix(t, "map<") || s.isMessage(t):
		return fmt.Sprintf("func(w *writer, v %s) { %s }", s.goType(t, false), s.writeCall(t, "v"))
	}
	return "write" + s.kind(t)
}
