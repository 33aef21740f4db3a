// Package typescript holds the SDK that plugins in TypeScript and JavaScript import as @frigg-host/sdk. It is part of the host
// so that packing a plugin needs nothing but the host.
package typescript

import "embed"

// Name under which plugins import the SDK.
const Name = "@frigg-host/sdk"

// Entry is the file in Files that an import of Name means.
const Entry = "frigg.ts"

// Files of the SDK.
//
//go:embed frigg.ts contract_gen.ts
var Files embed.FS
