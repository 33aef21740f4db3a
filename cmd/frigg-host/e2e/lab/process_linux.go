package lab

import "syscall"

// ownGroup makes a child the leader of a new group, which also dies if a killed test can no longer stop it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
