package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"go.yaml.in/yaml/v3"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// Pack embeds a manifest, written as JSON or YAML, in a module. A manifest that is there already is replaced. The result
// has passed Inspect. Errors are Invalid and list every problem.
func Pack(module, manifest []byte) ([]byte, error) {
	text, err := manifestJSON(manifest)
	if err != nil {
		return nil, fault.New(fault.Invalid, "plugin.Pack", "manifest: %v", err)
	}
	if _, err := abi.DecodeManifest(text); err != nil {
		return nil, fault.New(fault.Invalid, "plugin.Pack", "%v", err).With(err)
	}
	packed, err := wasm.SetCustom(module, abi.ManifestSection, text)
	if err != nil {
		return nil, fault.New(fault.Invalid, "plugin.Pack", "%v", err).With(err)
	}
	if _, err := Inspect(packed); err != nil {
		return nil, err
	}
	return packed, nil
}

// manifestJSON turns YAML into compact JSON with the keys in their order. JSON stays as it is but for white space, so
// that its problems are reported by the strict decoder.
func manifestJSON(text []byte) ([]byte, error) {
	if len(text) > 4*abi.LimitManifestBytes {
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed as JSON", len(text), abi.LimitManifestBytes)
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) && json.Valid(text) {
		var compact bytes.Buffer
		err := json.Compact(&compact, text)
		return compact.Bytes(), err
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("it is neither JSON nor YAML: %w", err)
	}
	if len(doc.Content) == 0 {
		return nil, errors.New("it is empty")
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one document")
	}
	var out bytes.Buffer
	err := writeJSON(&out, doc.Content[0])
	return out.Bytes(), err
}

// writeJSON writes the JSON of a YAML value. Aliases are refused: they can stand for more than anybody can read.
func writeJSON(out *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		return writeObject(out, n)
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, e := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeJSON(out, e); err != nil {
				return err
			}
		}
		out.WriteByte(']')
		return nil
	case yaml.ScalarNode:
		return writeScalar(out, n)
	}
	return fmt.Errorf("line %d: anchors and aliases are not supported; write the value out", n.Line)
}

func writeObject(out *bytes.Buffer, n *yaml.Node) error {
	out.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			return fmt.Errorf("line %d: keys must be texts", key.Line)
		}
		if i > 0 {
			out.WriteByte(',')
		}
		if err := writeText(out, key.Value); err != nil {
			return err
		}
		out.WriteByte(':')
		if err := writeJSON(out, n.Content[i+1]); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

func writeScalar(out *bytes.Buffer, n *yaml.Node) error {
	var value any
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		return writeText(out, n.Value)
	case "!!null", "!!bool", "!!int", "!!float":
		if err := n.Decode(&value); err != nil {
			return fmt.Errorf("line %d: %w", n.Line, err)
		}
	default:
		return fmt.Errorf("line %d: values of type %s are not supported", n.Line, tag)
	}
	if f, ok := value.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return fmt.Errorf("line %d: %s is not a number of JSON", n.Line, n.Value)
	}
	text, err := json.Marshal(value)
	out.Write(text)
	return err
}

func writeText(out *bytes.Buffer, s string) error {
	text, err := json.Marshal(s)
	out.Write(text)
	return err
}
