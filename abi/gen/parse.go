package main

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The model of abi.yaml. Lists keep the order of the file.
type (
	contractSpec struct {
		Version      int
		Conventions  string
		Enums        []enum
		Messages     []message
		Exports      []export
		Capabilities []capability
		Limits       []limit
	}
	enum struct {
		Name, Doc string
		Values    []enumValue
	}
	enumValue struct{ Name, Doc string }
	message   struct {
		Name, Doc string
		Fields    []field
	}
	field struct {
		Name, Type, Doc    string
		Optional, Reserved bool
	}
	export struct {
		Name, Kind, Input, Output, Doc string
		Reserved                       bool
	}
	capability struct {
		Name, Doc string
		Kinds     []string
		Functions []function
	}
	function struct {
		Name, Request, Response, Class, Doc string
		Reserved                            bool
		RequestBytes                        int64 `yaml:"request_bytes"` // 0 is the limit of that name
	}
	limit struct {
		Name, Doc string
		Value     int64
	}
)

func parse(text []byte) (*contractSpec, error) {
	var root struct {
		Version                                        int
		Conventions                                    string
		Enums, Messages, Exports, Capabilities, Limits yaml.Node
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&root); err != nil {
		return nil, err
	}
	s := &contractSpec{Version: root.Version, Conventions: root.Conventions}
	err := each(&root.Enums, func(name string, n *yaml.Node) error {
		var e struct {
			Doc    string
			Values yaml.Node
		}
		if err := n.Decode(&e); err != nil {
			return err
		}
		out := enum{Name: name, Doc: e.Doc}
		err := each(&e.Values, func(v string, d *yaml.Node) error {
			out.Values = append(out.Values, enumValue{v, d.Value})
			return nil
		})
		s.Enums = append(s.Enums, out)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = each(&root.Messages, func(name string, n *yaml.Node) error {
		var m struct {
			Doc    string
			Fields yaml.Node
		}
		if err := n.Decode(&m); err != nil {
			return err
		}
		out := message{Name: name, Doc: m.Doc}
		err := each(&m.Fields, func(f string, d *yaml.Node) error {
			fd := field{Name: f}
			if err := d.Decode(&fd); err != nil {
				return err
			}
			fd.Name = f
			out.Fields = append(out.Fields, fd)
			return nil
		})
		s.Messages = append(s.Messages, out)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = each(&root.Exports, func(name string, n *yaml.Node) error {
		e := export{}
		err := n.Decode(&e)
		e.Name = name
		s.Exports = append(s.Exports, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = each(&root.Capabilities, func(name string, n *yaml.Node) error {
		var c struct {
			Doc       string
			Kinds     []string
			Functions yaml.Node
		}
		if err := n.Decode(&c); err != nil {
			return err
		}
		out := capability{Name: name, Doc: c.Doc, Kinds: c.Kinds}
		err := each(&c.Functions, func(f string, d *yaml.Node) error {
			fn := function{}
			err := d.Decode(&fn)
			fn.Name = f
			out.Functions = append(out.Functions, fn)
			return err
		})
		s.Capabilities = append(s.Capabilities, out)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = each(&root.Limits, func(name string, n *yaml.Node) error {
		l := limit{}
		err := n.Decode(&l)
		l.Name = name
		s.Limits = append(s.Limits, l)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, s.check()
}

// each calls f for every key of a mapping in file order.
func each(n *yaml.Node, f func(key string, value *yaml.Node) error) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := f(n.Content[i].Value, n.Content[i+1]); err != nil {
			return fmt.Errorf("%s: %w", n.Content[i].Value, err)
		}
	}
	return nil
}

// check refuses references to messages that do not exist, and names without a text.
func (s *contractSpec) check() error {
	for _, m := range s.Messages {
		if m.Doc == "" {
			return fmt.Errorf("message %s has no doc", m.Name)
		}
		for _, f := range m.Fields {
			if f.Doc == "" {
				return fmt.Errorf("field %s.%s has no doc", m.Name, f.Name)
			}
			if !s.knows(element(f.Type)) {
				return fmt.Errorf("field %s.%s has unknown type %q", m.Name, f.Name, f.Type)
			}
		}
	}
	for _, e := range s.Exports {
		if !s.isMessage(e.Input) || !s.isMessage(e.Output) {
			return fmt.Errorf("export %s: unknown message", e.Name)
		}
	}
	for _, c := range s.Capabilities {
		for _, f := range c.Functions {
			if !s.isMessage(f.Request) || !s.isMessage(f.Response) {
				return fmt.Errorf("function %s.%s: unknown message", c.Name, f.Name)
			}
			switch f.Class {
			case "pure", "read", "local", "remote":
			default:
				return fmt.Errorf("function %s.%s: unknown class %q", c.Name, f.Name, f.Class)
			}
		}
	}
	return nil
}

// element strips list<> and map<>.
func element(t string) string {
	for {
		inner, ok := strings.CutSuffix(t, ">")
		if !ok {
			return t
		}
		_, t, _ = strings.Cut(inner, "<")
	}
}

func (s *contractSpec) knows(t string) bool {
	switch t {
	case "string", "bool", "int", "float", "bytes", "json":
		return true
	}
	return s.isEnum(t) || s.isMessage(t)
}

func (s *contractSpec) isEnum(t string) bool {
	for _, e := range s.Enums {
		if e.Name == t {
			return true
		}
	}
	return false
}

func (s *contractSpec) isMessage(t string) bool {
	for _, m := range s.Messages {
		if m.Name == t {
			return true
		}
	}
	return false
}
