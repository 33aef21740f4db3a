//go:build race

package rewrite

// underRace is whether the race detector is on, under which compiling takes ten times as long.
const underRace = true
