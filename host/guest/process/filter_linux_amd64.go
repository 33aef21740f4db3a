package process

import "golang.org/x/sys/unix"

const (
	arch       = unix.AUDIT_ARCH_X86_64
	otherCalls = 0x4000_0000 // those of x32 begin here
)

// archRefused are the calls that only this machine has.
var archRefused = []uint32{unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT}
