//go:build !linux

package host_test

import (
	"errors"
	"os"
)

// swap lets two paths change their places, one after the other.
func swap(a, b string) error {
	return errors.Join(os.Rename(b, b+".swap"), os.Rename(a, b), os.Rename(b+".swap", a))
}
