package integration

import (
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// init takes the road of a request once, so that the runtime has found its types and divided its memory.
func init() {
	wire.Rehearse(abi.ExportHandleRoute, `{"event":"","method":"GET","path":"/","params":{"a":"b"},"headers":{"host":"localhost"},"text":"{}"}`)
}
