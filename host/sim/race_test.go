//go:build race

package sim_test

// The race detector slows SQLite, which is written in Go, down tenfold.
const (
	raced      = true
	usualSeeds = 15
)
