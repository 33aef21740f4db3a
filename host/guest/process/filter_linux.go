//go:build amd64 || arm64

package process

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refused are the system calls that neither the Go runtime nor an engine makes once it is up, and by which a process reaches
// others, the network, or the rare corners of the kernel. What is not here is open: a list of what is needed would have to
// follow every version of Go.
var refused = []uint32{
	// the network
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	// programs and other processes
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_KCMP, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
	unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PROCESS_MADVISE, unix.SYS_SETPRIORITY,
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_MSGGET, unix.SYS_SEMGET, unix.SYS_MQ_OPEN,
	// the kernel
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
	unix.SYS_MOUNT_SETATTR, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL,
}

// filterCalls refuses system calls on all threads (seccomp(2)).
func filterCalls() error {
	program := filter()
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	runtime.LockOSThread() // the thread that has given up privileges, where not all could
	defer runtime.UnlockOSThread()
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&p)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Offsets in struct seccomp_data, on machines whose low word comes first.
const (
	dataCall  = 0
	dataArch  = 4
	dataFirst = 16 // argument
)

// filter is the program that the kernel runs for each system call.
func filter() []unix.SockFilter {
	deny := unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	f := []unix.SockFilter{
		load(dataArch), unless(unix.BPF_JEQ, arch), give(unix.SECCOMP_RET_KILL_PROCESS),
		load(dataCall),
		when(unix.BPF_JGE, otherCalls), give(deny),
		when(unix.BPF_JEQ, unix.SYS_CLONE3), give(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)), // clone is used instead
	}
	for _, call := range append(refused, archRefused...) {
		f = append(f, when(unix.BPF_JEQ, call), give(deny))
	}
	// Threads, but no processes; signals to itself, but to nobody else.
	f = append(f,
		jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 3), load(dataFirst), unless(unix.BPF_JSET, unix.CLONE_THREAD), give(deny),
		load(dataCall),
		jump(unix.BPF_JEQ, unix.SYS_TGKILL, 0, 3), load(dataFirst), unless(unix.BPF_JEQ, uint32(unix.Getpid())), give(deny),
	)
	return append(f, give(unix.SECCOMP_RET_ALLOW))
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func give(verdict uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: verdict}
}

// when runs the next instruction only if what was loaded compares so with k; unless, only if it does not.
func when(compare uint16, k uint32) unix.SockFilter   { return jump(compare, k, 0, 1) }
func unless(compare uint16, k uint32) unix.SockFilter { return jump(compare, k, 1, 0) }

func jump(compare uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | compare | unix.BPF_K, Jt: yes, Jf: no, K: k}
}
