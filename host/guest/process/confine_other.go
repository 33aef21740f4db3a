//go:build !linux

package process

import "syscall"

// neutral leaves the folder as it is.
const neutral = ""

const namespaces = false

func attributes(bool) *syscall.SysProcAttr { return nil }

func keepToItself() {}

// confine: a process of its own is all that there is here.
func confine(string) (shut, open []string) {
	return nil, []string{"files and system calls: only Linux can close them"}
}

func hide() error { return nil }
