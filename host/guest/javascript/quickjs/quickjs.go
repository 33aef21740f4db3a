// Package quickjs is the file format of JavaScript plugins: the engine that all of them share, and the section in which a
// program is kept.
//
// The engine is QuickJS-NG, built as a WebAssembly reactor by the npm package quickjs-wasi (MIT), kept here with its licences
// and checksums; fetch.sh gets it. A JavaScript plugin is this module, byte for byte, and custom sections beside it: what it
// does is in its section, and since custom sections are not code, all JavaScript plugins of a host are one compiled module.
//
// The package runs nothing and knows no runtime of WebAssembly. Sections are hostile: nothing here panics, and work and memory
// are bounded by the size of the input. Everything is safe for concurrent use.
package quickjs

import (
	"bytes"
	_ "embed"
	"sync"

	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

//go:generate sh fetch.sh

// Version of the npm package that the engine is from.
const Version = "3.6.2"

//go:embed quickjs.wasm
var engine []byte

// code is the engine without custom sections.
var code = sync.OnceValue(func() []byte {
	code, err := wasm.DropCustoms(engine)
	if err != nil {
		panic("quickjs: the embedded engine is no module: " + err.Error())
	}
	return code
})

// Engine is the module to compile, the same for all JavaScript plugins. It has no custom sections. Nobody may change it.
func Engine() []byte { return code() }

// Runs reports whether the code of a module is the engine's, whatever custom sections it has.
func Runs(module []byte) bool {
	if len(module) < len(code()) {
		return false
	}
	own, err := wasm.DropCustoms(module)
	return err == nil && bytes.Equal(own, code())
}
