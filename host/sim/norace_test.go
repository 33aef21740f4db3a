//go:build !race

package sim_test

const (
	raced      = false
	usualSeeds = 1000
)
