package process

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// neutral is a folder that is there.
const neutral = "/"

// namespaces: children may have some of their own.
const namespaces = true

// attributes of a child: it ends with its parent, gets no signal of the terminal, and, apart, has a network without any
// device. In its user namespace it is nobody, so that the program starts there without any capability.
func attributes(apart bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if apart {
		const nobody = 65534
		a.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// keepToItself marks the files that this program was itself started with, so that children do not get them.
func keepToItself() {
	_ = unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC) // older kernels have no such call
}

// most of what a child may have open: its image and memories are files too.
const openFiles = 1024

// confine closes what a child does not need. It says what is shut then, and what is still open and why. The folder of the
// cache stays open; it may be "".
func confine(cacheDir string) (shut, open []string) {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"privileges", noNewPrivileges},
		{"limits", limit},
		{"files", func() error { return landlock(cacheDir) }},
		{"system calls", filterCalls},
	} {
		if err := step.do(); err != nil {
			open = append(open, step.name+": "+err.Error())
		} else {
			shut = append(shut, step.name)
		}
	}
	return shut, open
}

// noNewPrivileges: no program that is started can have more rights than this one.
func noNewPrivileges() error {
	err := everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
	if errors.Is(err, errors.ErrUnsupported) { // the filter of system calls takes it to the other threads
		runtime.LockOSThread()
		return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	return err
}

// limit bounds files and forbids core dumps. Address space is not bounded: guests reserve far more than they use.
func limit() error {
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: openFiles, Max: openFiles}),
		unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{}),
	)
}

// hide keeps other processes of the same user from looking into this one. The files of /proc/self are root's then, so it
// comes last.
func hide() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// everyThread makes a system call on all threads, which a program with C in it cannot.
func everyThread(trap, a1, a2, a3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(trap, a1, a2, a3); errno != 0 {
		return errno
	}
	return nil
}

// Rights of landlock by the version of the kernel's interface that brought them (landlock(7)).
const (
	filesFirst  = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1
	filesSecond = unix.LANDLOCK_ACCESS_FS_REFER
	filesThird  = unix.LANDLOCK_ACCESS_FS_TRUNCATE
	filesFifth  = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	readFiles  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeFiles = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	makeFiles  = unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR
)

// landlock closes all files but the cache and what the process may know of itself, and all TCP.
func landlock(cacheDir string) error {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return errno
	}
	rules := unix.LandlockRulesetAttr{Handled_access_fs: filesFirst}
	for _, more := range []struct {
		abi    uintptr
		rights uint64
	}{{2, filesSecond}, {3, filesThird}, {5, filesFifth}} {
		if abi >= more.abi {
			rules.Handled_access_fs |= more.rights
		}
	}
	if abi >= 4 {
		rules.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 6 {
		rules.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), unsafe.Sizeof(rules), 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(set))
	if err := allow(set, "/proc/self", (readFiles|writeFiles)&rules.Handled_access_fs); err != nil {
		return err
	}
	if cacheDir != "" {
		if err := allow(set, cacheDir, (readFiles|writeFiles|makeFiles)&rules.Handled_access_fs); err != nil {
			return err
		}
	}
	return everyThread(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0)
}

// allow opens what is beneath a folder.
func allow(set uintptr, dir string, rights uint64) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, set, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
