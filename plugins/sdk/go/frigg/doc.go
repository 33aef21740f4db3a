// Package frigg holds the words that modules and integrations share: faults, secret handles, forms, pages and typed names of
// methods.
//
// A plugin is an ordinary Go program whose init functions register handlers with package module or package integration.
// Build it with the plain Go toolchain:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o plugin.wasm .
//
// Without GOOS=wasip1 the same code builds for the author's machine, where package friggtest plays the host.
//
// The package knows neither the host nor how a call reaches it. Everything here is safe for concurrent use.
package frigg
