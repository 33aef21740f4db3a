// Package wire carries calls between a guest and its host: the memory of the Extism kernel, the host functions, and the
// envelope around every answer.
//
// It knows the contract and nothing of what a plugin does. Under wasip1 a Host is the import section of the module; elsewhere
// it is a Fake, so that handlers run in plain tests. Build with the tag frigg_nobulk to leave out the bulk copies, which only
// the native engine offers: the guest then imports nothing but the Extism kernel and its capabilities.
//
// A guest serves one call at a time; the exported functions may be used by many goroutines of it.
package wire
