// Package abi is the contract with guests: names, messages, fault kinds, limits and version.
//
// abi.yaml is the source; the types here and SPEC.md are generated from it. The package knows nothing of the host and
// imports only the standard library, so that guests import it too. Messages are plain data without methods that do work;
// everything is safe for concurrent reads.
package abi

// Export is a function that the host may call.
type Export struct {
	Name     string
	Kind     PluginKind
	Reserved bool
}

// Class says what a host function does to the world, which decides how a run is journalled and repeated.
type Class string

const (
	ClassPure   Class = "pure"   // no effect, same answer
	ClassRead   Class = "read"   // reads inside the host
	ClassLocal  Class = "local"  // an effect inside the host, committed before the answer
	ClassRemote Class = "remote" // an effect outside
)

// Function is a host function of a capability.
type Function struct {
	Capability, Name string
	Class            Class
	Kinds            []PluginKind
	Reserved         bool
}

// ModulePrefix starts the import module of every capability.
const ModulePrefix = "frigg:host/"

// Import modules that are not capabilities.
const (
	KernelModule = "extism:host/env"
	BulkModule   = "frigg:host/bulk"
	WASIModule   = "wasi_snapshot_preview1"
)

// ManifestSection is the custom section that holds the manifest.
const ManifestSection = "frigg:manifest"

// Names of events that every integration may get.
const (
	EventOnCreate  = "ON_CREATE"
	EventOnUpdate  = "ON_UPDATE"
	EventOnDelete  = "ON_DELETE"
	EventOnWebhook = "ON_WEBHOOK"
)
