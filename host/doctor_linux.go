package host

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	leastMaps  = 65_530  // the kernel's default: about 20,000 idle instances
	leastFiles = 1_024   // connections, vendors, the database, children
	leastSpace = 1 << 30 // bytes
	littleLeft = 5 << 30
)

// machine looks at what the system allows a process.
func (e *examination) machine() {
	if text, err := os.ReadFile("/proc/sys/vm/max_map_count"); err == nil {
		n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		if n < leastMaps {
			e.action("memory maps", "sysctl -w vm.max_map_count=262144", "vm.max_map_count is %d; each idle instance of a plugin takes two or three", n)
		} else {
			e.fine("memory maps", "vm.max_map_count is %d", n)
		}
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		if files.Cur < leastFiles {
			e.action("open files", "ulimit -n 4096, or LimitNOFILE=4096 in the unit of the service", "at most %d may be open at once", files.Cur)
		} else {
			e.fine("open files", "%d may be open at once", files.Cur)
		}
	}
}

// space looks at the disk of the data folder.
func (e *examination) space() {
	var disk unix.Statfs_t
	if unix.Statfs(e.cfg.DataDir, &disk) != nil {
		return
	}
	free := disk.Bavail * uint64(disk.Bsize)
	const do = "make room: without it nothing can be acknowledged; compiled/ in the data folder can be deleted"
	switch mib := free >> 20; {
	case free < leastSpace:
		e.action("disk", do, "%d MiB are free", mib)
	case free < littleLeft:
		e.note("disk", do, "%d MiB are free", mib)
	default:
		e.fine("disk", "%d MiB are free", mib)
	}
}

func writable(path string) bool { return unix.Access(path, unix.W_OK) == nil }
