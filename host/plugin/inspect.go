package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	// Time zones of schedules are judged alike on hosts that have no zone files.
	_ "time/tzdata"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// Inspection is what can be known of a `.wasm` file without running it.
type Inspection struct {
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`
	// Manifest is as written, without defaults; nil when there is none or it has problems.
	Manifest *abi.Manifest `json:"manifest,omitempty"`
	// JavaScript says that the code is the JavaScript engine and the plugin a program for it.
	JavaScript bool `json:"javascript,omitempty"`
	// Capabilities are those that the code can reach, by its import section, whatever the manifest says; of JavaScript
	// plugins those that the manifest claims, since they are all that the program will find.
	Capabilities []string   `json:"capabilities"`
	Imports      []Function `json:"imports"`
	Exports      []Function `json:"exports"`
	Memory       *Memory    `json:"memory,omitempty"`
	// Problems keep it from being used, Warnings do not.
	Problems []abi.Problem `json:"problems,omitempty"`
	Warnings []abi.Problem `json:"warnings,omitempty"`

	name string // by the manifest of a file that is broken otherwise
}

// Function is an import or export of a module.
type Function struct {
	Module string `json:"module,omitempty"` // of an import
	Name   string `json:"name"`
	Type   string `json:"type"` // for example "(i64) -> i64"; the kind for what is no function
}

// Memory is the linear memory that a module declares.
type Memory struct {
	MinBytes int64 `json:"min_bytes"`
	MaxBytes int64 `json:"max_bytes,omitempty"` // zero: as much as the host allows
}

const pageBytes = 64 << 10

// DigestOf returns the digest of the bytes of a module.
func DigestOf(module []byte) Digest {
	sum := sha256.Sum256(module)
	return Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// Valid reports whether d has the form of a digest, and so can be part of a file name.
func (d Digest) Valid() bool {
	hexa, ok := strings.CutPrefix(string(d), "sha256:")
	return ok && len(hexa) == 2*sha256.Size && strings.Trim(hexa, "0123456789abcdef") == ""
}

// Inspect reads a module and its manifest and compares what the code imports and exports with what the manifest declares.
// The Inspection is never nil and as complete as the file allows. The error is Invalid and lists the problems; its causes
// are wasm.ErrTruncated and the like, or *abi.ManifestError.
func Inspect(module []byte) (*Inspection, error) {
	in := &Inspection{Digest: DigestOf(module), Size: int64(len(module)), Capabilities: []string{}, Imports: []Function{}, Exports: []Function{}}
	if in.Size > abi.LimitModuleBytes {
		in.add("", "the file has %d bytes, at most %d are allowed", in.Size, abi.LimitModuleBytes)
		return in, in.err(nil)
	}
	m, err := wasm.Read(module)
	if err != nil {
		in.name = nameIn(m)
		in.add("", "%v", err)
		return in, in.err(err)
	}
	in.structure(m)
	in.readProgram(module, m)
	err = in.readManifest(m)
	if in.Manifest != nil {
		in.audit(m)
	} else {
		in.name = nameIn(m)
	}
	return in, in.err(err)
}

func (in *Inspection) add(path, format string, args ...any) {
	in.Problems = append(in.Problems, abi.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (in *Inspection) warn(path, format string, args ...any) {
	in.Warnings = append(in.Warnings, abi.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// err is nil when there is no problem. A cause says all that there is to say.
func (in *Inspection) err(cause error) error {
	if len(in.Problems) == 0 {
		return nil
	}
	lines := make([]string, len(in.Problems))
	for i, p := range in.Problems {
		lines[i] = p.String()
	}
	text := strings.Join(lines, "\n")
	if cause != nil {
		text = cause.Error()
	}
	return fault.New(fault.Invalid, "plugin.Inspect", "%s", text).On(fault.Guest).With(cause)
}

// structure notes what the sections say.
func (in *Inspection) structure(m *wasm.Module) {
	for _, im := range m.Imports {
		in.Imports = append(in.Imports, Function{Module: im.Module, Name: im.Name, Type: typeOf(im.Kind, im.Type)})
	}
	for _, ex := range m.Exports {
		in.Exports = append(in.Exports, Function{Name: ex.Name, Type: typeOf(ex.Kind, ex.Type)})
	}
	if m.Memory != nil {
		in.Memory = &Memory{MinBytes: int64(m.Memory.Min) * pageBytes}
		if m.Memory.HasMax {
			in.Memory.MaxBytes = int64(m.Memory.Max) * pageBytes
		}
	}
}

func typeOf(kind wasm.Kind, t wasm.FuncType) string {
	if kind == wasm.KindFunc {
		return t.String()
	}
	return kind.String()
}

func (in *Inspection) readManifest(m *wasm.Module) error {
	sections := m.Custom(abi.ManifestSection)
	switch len(sections) {
	case 0:
		in.add("", "it has no manifest (custom section %s); embed one with `frigg-host plugin pack`", abi.ManifestSection)
		return nil
	case 1:
	default:
		in.add("", "it has %d manifests; embed one with `frigg-host plugin pack`, which replaces them", len(sections))
		return nil
	}
	manifest, err := abi.DecodeManifest(sections[0])
	var problems *abi.ManifestError
	if errors.As(err, &problems) {
		in.Problems = append(in.Problems, problems.Problems...)
		return err
	}
	in.Manifest = manifest
	return err
}

// nameIn is the name of a plugin whose module or manifest is broken, if it can be made out.
func nameIn(m *wasm.Module) string {
	for _, section := range m.Custom(abi.ManifestSection) {
		if name := abi.ManifestName(section); name != "" {
			return name
		}
	}
	return ""
}
