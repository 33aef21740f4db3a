// Package vectors holds the test vectors of the contract: what must be accepted and what refused, as JSON that every
// language can play. Package tck plays them in Go and documents their shape.
package vectors

import "embed"

// Files holds the vectors.
//
//go:embed *.json
var Files embed.FS
