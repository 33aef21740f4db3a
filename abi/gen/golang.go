package main

import (
	"fmt"
	"strconv"
	"strings"
)

// contract writes package abi: enums, messages, names and limits.
func contract(s *contractSpec) string {
	var b strings.Builder
	b.WriteString("package abi\n\nimport \"encoding/json\"\n\n")
	fmt.Fprintf(&b, "// Version of the contract.\nconst Version = %d\n\n", s.Version)
	for _, e := range s.Enums {
		fmt.Fprintf(&b, "%stype %s string\n\nconst (\n", comment(e.Name, e.Doc), e.Name)
		for _, v := range e.Values {
			fmt.Fprintf(&b, "\t%s%s %s = %q // %s\n", e.Name, goName(v.Name), e.Name, v.Name, v.Doc)
		}
		b.WriteString(")\n\n")
		fmt.Fprintf(&b, "// Valid reports whether the value is one of the contract's.\nfunc (v %s) Valid() bool {\n\tswitch v {\n\tcase ", e.Name)
		for i, v := range e.Values {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(e.Name + goName(v.Name))
		}
		b.WriteString(":\n\t\treturn true\n\t}\n\treturn false\n}\n\n")
		fmt.Fprintf(&b, "// Values lists them in the order of the contract.\nfunc (%s) Values() []string {\n\treturn []string{", e.Name)
		for _, v := range e.Values {
			fmt.Fprintf(&b, "%q,", v.Name)
		}
		b.WriteString("}\n}\n\n")
	}
	for _, m := range s.Messages {
		fmt.Fprintf(&b, "%stype %s struct {\n", comment(m.Name, m.Doc), m.Name)
		for _, f := range m.Fields {
			doc := f.Doc
			if f.Reserved {
				doc += " Reserved."
			}
			tag := f.Name
			if f.Optional {
				tag += ",omitempty"
			}
			fmt.Fprintf(&b, "\t%s %s `json:%q` // %s\n", goName(f.Name), s.goType(f.Type, f.Optional), tag, doc)
		}
		b.WriteString("}\n\n")
	}
	b.WriteString("// Names of exports.\nconst (\n")
	for _, e := range s.Exports {
		fmt.Fprintf(&b, "\tExport%s = %q // %s\n", exportName(e.Name), e.Name, e.Doc)
	}
	b.WriteString(")\n\n// Exports lists what the host may call, by kind of plugin.\nvar Exports = []Export{\n")
	for _, e := range s.Exports {
		fmt.Fprintf(&b, "\t{Name: %q, Kind: PluginKind%s, Reserved: %v},\n", e.Name, goName(e.Kind), e.Reserved)
	}
	b.WriteString("}\n\n// Names of capabilities.\nconst (\n")
	for _, c := range s.Capabilities {
		fmt.Fprintf(&b, "\tCapability%s = %q // %s\n", goName(c.Name), c.Name, c.Doc)
	}
	b.WriteString(")\n\n// Functions lists every host function.\nvar Functions = []Function{\n")
	for _, c := range s.Capabilities {
		for _, f := range c.Functions {
			fmt.Fprintf(&b, "\t{Capability: %q, Name: %q, Class: Class%s, Kinds: []PluginKind{", c.Name, f.Name, goName(f.Class))
			for _, k := range c.Kinds {
				fmt.Fprintf(&b, "PluginKind%s,", goName(k))
			}
			fmt.Fprintf(&b, "}, Reserved: %v},\n", f.Reserved)
		}
	}
	b.WriteString("}\n\n// Default limits.\nconst (\n")
	for _, l := range s.Limits {
		fmt.Fprintf(&b, "\tLimit%s = %d // %s\n", goName(l.Name), l.Value, l.Doc)
	}
	b.WriteString(")\n")
	return b.String()
}

func exportName(s string) string { return goName(strings.TrimPrefix(s, "frigg_")) }

func (s *contractSpec) goType(t string, optional bool) string {
	if inner, ok := cut(t, "list<"); ok {
		return "[]" + s.goType(inner, false)
	}
	if inner, ok := cut(t, "map<"); ok {
		return "map[string]" + s.goType(inner, false)
	}
	switch t {
	case "string", "bool":
		return t
	case "int":
		return "int64"
	case "float":
		return "float64"
	case "bytes":
		return "[]byte"
	case "json":
		return "json.RawMessage"
	}
	if optional && s.isMessage(t) {
		return "*" + t
	}
	return t
}

func cut(t, prefix string) (string, bool) {
	if rest, ok := strings.CutPrefix(t, prefix); ok {
		return strings.CutSuffix(rest, ">")
	}
	return "", false
}

// door writes the host side: one interface a capability, and the dispatch from import to method.
func door(s *contractSpec) string {
	var b strings.Builder
	b.WriteString("package plugin\n\nimport (\n\t\"context\"\n\n\t\"github.com/frigg-host/frigg-host/abi\"\n)\n\n")
	for _, c := range s.Capabilities {
		if !c.offered() {
			continue
		}
		name := goName(c.Name) + "Capability"
		fmt.Fprintf(&b, "%stype %s interface {\n", comment(name, c.Doc), name)
		for _, f := range c.Functions {
			if !f.Reserved {
				fmt.Fprintf(&b, "\t%s\t%s(context.Context, abi.%s) (abi.%s, error)\n", comment(goName(f.Name), f.Doc), goName(f.Name), f.Request, f.Response)
			}
		}
		b.WriteString("}\n\n")
	}
	b.WriteString("// Capabilities is what one call may reach. Nil means not granted. The values know whose data they serve.\ntype Capabilities struct {\n")
	for _, c := range s.Capabilities {
		if c.offered() {
			fmt.Fprintf(&b, "\t%s %sCapability\n", goName(c.Name), goName(c.Name))
		}
	}
	b.WriteString("}\n\n// Serve answers one host function: decode, call, encode. It never fails: failures are faults inside the answer.\n")
	b.WriteString("func (c Capabilities) Serve(ctx context.Context, capability, function string, request []byte) []byte {\n\tswitch capability + \".\" + function {\n")
	for _, c := range s.Capabilities {
		for _, f := range c.Functions {
			fmt.Fprintf(&b, "\tcase %q:\n", c.Name+"."+f.Name)
			if f.Reserved {
				fmt.Fprintf(&b, "\t\treturn refuse(unsupported(capability, function))\n")
				continue
			}
			fmt.Fprintf(&b, "\t\tif c.%s == nil {\n\t\t\treturn refuse(notGranted(capability))\n\t\t}\n", goName(c.Name))
			fmt.Fprintf(&b, "\t\treturn serve(ctx, request, %s, c.%s.%s)\n", f.requestLimit(), goName(c.Name), goName(f.Name))
		}
	}
	b.WriteString("\t}\n\treturn refuse(unsupported(capability, function))\n}\n")
	return b.String()
}

// requestLimit is the largest request as Go writes it: the function's own, else that of the contract.
func (f function) requestLimit() string {
	if f.RequestBytes == 0 {
		return "abi.LimitRequestBytes"
	}
	return strconv.FormatInt(f.RequestBytes, 10)
}

func (c capability) offered() bool {
	for _, f := range c.Functions {
		if !f.Reserved {
			return true
		}
	}
	return false
}

// imports writes the guest side of the host functions.
func imports(s *contractSpec) string {
	var b strings.Builder
	b.WriteString("//go:build wasip1\n\npackage wire\n\nimport \"github.com/frigg-host/frigg-host/abi\"\n\n")
	s.eachOffered(func(c capability, f function, name string) {
		low := lowerFirst(name)
		fmt.Fprintf(&b, "//go:wasmimport frigg:host/%s %s\nfunc %s(request uint64) uint64\n\n", c.Name, f.Name, low)
		fmt.Fprintf(&b, "%sfunc %s(_ Host, r abi.%s) (abi.%s, error) { return call[abi.%s](%s, r) }\n\n",
			comment(name, f.Doc), name, f.Request, f.Response, f.Response, low)
	})
	return b.String()
}

// fakes writes the same functions for a guest that is built for its author's machine.
func fakes(s *contractSpec) string {
	var b strings.Builder
	b.WriteString("//go:build !wasip1\n\npackage wire\n\nimport \"github.com/frigg-host/frigg-host/abi\"\n\n")
	s.eachOffered(func(c capability, f function, name string) {
		fmt.Fprintf(&b, "%sfunc %s(h Host, r abi.%s) (abi.%s, error) { return call[abi.%s](h, %q, %q, r) }\n\n",
			comment(name, f.Doc), name, f.Request, f.Response, f.Response, c.Name, f.Name)
	})
	return b.String()
}

// eachOffered visits the functions that this host answers, with their name in Go.
func (s *contractSpec) eachOffered(visit func(c capability, f function, name string)) {
	for _, c := range s.Capabilities {
		for _, f := range c.Functions {
			if !f.Reserved {
				visit(c, f, goName(c.Name)+goName(f.Name))
			}
		}
	}
}

func lowerFirst(name string) string {
	if rest, ok := strings.CutPrefix(name, "HTTP"); ok {
		return "http" + rest
	}
	return strings.ToLower(name[:1]) + name[1:]
}
