package plugin

import (
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

// PackProgram makes a plugin of a JavaScript program and a manifest, written as JSON or YAML. The result has passed Inspect.
// Errors are Invalid and list every problem.
func PackProgram(p quickjs.Program, manifest []byte) ([]byte, error) {
	module, err := p.Module()
	if err != nil {
		return nil, fault.New(fault.Invalid, "plugin.PackProgram", "%v", err).With(err)
	}
	return Pack(module, manifest)
}

// readProgram notes what a JavaScript plugin is. All such plugins have the imports and exports of one engine, so what a plugin
// exports is what its section says; that its program does export these is found when it is loaded.
func (in *Inspection) readProgram(module []byte, m *wasm.Module) {
	p, err := quickjs.Of(module, m)
	if err != nil {
		in.add("", "%v", err)
		return
	}
	if p == nil {
		return
	}
	in.JavaScript = true
	in.Exports = []Function{}
	for _, name := range p.Exports {
		in.Exports = append(in.Exports, Function{Name: name, Type: entryType})
	}
}

// claimCapabilities takes the capabilities of a JavaScript plugin from its manifest. Its program reaches every capability by
// name at run time, so nothing in the file says which it uses: the audit cannot find a claim that is too much, and one that is
// missing shows when the host answers `forbidden`. That it reaches nothing that is not claimed does not depend on the audit.
func (in *Inspection) claimCapabilities() {
	for _, c := range in.Manifest.Capabilities {
		in.Capabilities = append(in.Capabilities, c.Name)
	}
}
