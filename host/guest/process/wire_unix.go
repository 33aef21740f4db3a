//go:build unix

package process

import (
	"os"
	"syscall"
)

// pollable makes a pipe that was inherited one that the Go runtime waits for without a thread: the goroutine that reads from
// it and those that it wakes then run on the same thread, which saves most of the time of a small call.
func pollable[T any](pipe T) T {
	f, ok := any(pipe).(*os.File)
	if !ok {
		return pipe
	}
	fd := f.Fd()
	if syscall.SetNonblock(int(fd), true) != nil {
		return pipe
	}
	if n, ok := any(os.NewFile(fd, f.Name())).(T); ok {
		return n
	}
	return pipe
}
