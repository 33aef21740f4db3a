package process

import "golang.org/x/sys/unix"

const (
	arch       = unix.AUDIT_ARCH_AARCH64
	otherCalls = 0xffff_ffff // there are no others
)

// archRefused are the calls that only this machine has: none.
var archRefused []uint32
