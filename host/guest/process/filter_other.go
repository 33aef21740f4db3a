//go:build linux && !amd64 && !arm64

package process

import "errors"

// filterCalls needs the numbers of the machine's system calls.
func filterCalls() error { return errors.ErrUnsupported }
