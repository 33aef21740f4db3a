package integration

import (
	"encoding/json"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Checkpoint ends this call and starts the handler again, with state from Resumed and nothing else on record. A long run makes
// one now and then: what a run asked of the host is kept, within bounds, until it ends. It returns only with an error.
//
//	page, _, err := integration.Resumed[int](c)
//	...
//	return integration.Checkpoint(c, page+1)
func Checkpoint[T any](c *Call, state T) error {
	b, err := json.Marshal(state)
	if err != nil {
		return err
	}
	_, err = wire.RunCheckpoint(c.host, abi.RunCheckpoint{State: b})
	return err
}

// Resumed returns the state of the last checkpoint of this run; false if there was none.
func Resumed[T any](c *Call) (state T, ok bool, err error) {
	if len(c.checkpoint) == 0 {
		return state, false, nil
	}
	return state, true, wire.Decode(c.checkpoint, &state, "the state of the checkpoint")
}
