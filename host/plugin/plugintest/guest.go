// Package plugintest lets Go functions play guests in tests, so that what a guest is told and answered passes through the same
// door as for a real one.
package plugintest

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Ask is a host call of the guest that plays c: name is a capability and a function, such as "module.call". A fault in the
// answer comes back as an error. When the call's journal ends the guest, its error comes back: return it.
func Ask[R any](ctx context.Context, c plugin.Call, name string, request any) (R, error) {
	var out R
	capability, function, _ := strings.Cut(name, ".")
	q, err := json.Marshal(request)
	if err != nil {
		return out, err
	}
	do := func(ctx context.Context) []byte { return c.Can.Serve(ctx, capability, function, q) }
	var raw []byte
	if c.Journal == nil {
		raw = do(ctx)
	} else if raw, err = c.Journal.Serve(ctx, capability, function, q, do); err != nil {
		return out, err
	}
	var answer abi.Answer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return out, err
	}
	if answer.Fault != nil {
		return out, plugin.ErrorOf("guest", c.Plugin.Name, *answer.Fault)
	}
	return out, json.Unmarshal(answer.Value, &out)
}
