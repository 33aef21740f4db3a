//go:build !unix

package process

// pollable is for systems with pipes that can be waited for.
func pollable[T any](pipe T) T { return pipe }
