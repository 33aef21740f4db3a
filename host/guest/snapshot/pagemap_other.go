//go:build !linux

package snapshot

import "github.com/frigg-host/frigg-host/host/fault"

// private is what only Linux offers.
func (*backing) private(Method, []byte, func(from, to uint64) bool) error {
	return fault.New(fault.Unsupported, "snapshot.Restore", "only Linux shows which pages of a memory were written to")
}

// touched is all of it, for all that is known.
func (*backing) touched(memory []byte, visit func(from, to uint64) bool) {
	visit(0, uint64(len(memory)))
}
