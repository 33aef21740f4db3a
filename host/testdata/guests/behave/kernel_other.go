//go:build !wasip1

package behave

func hugeOutput(int) {}

func flood(int) {}
