package lab

import "syscall"

// ownGroup makes a child the leader of a new group.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
