package connection_test

import (
	"context"
	"encoding/json"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// identifyAs is a guest that names one account, after it has asked the vendor.
func identifyAs(told *abi.IdentifyInput, ids ...string) func(context.Context, plugin.Call) (any, error) {
	return func(ctx context.Context, c plugin.Call) (any, error) {
		if err := json.Unmarshal(c.Input, told); err != nil {
			return nil, err
		}
		if _, err := c.Can.HTTP.Send(ctx, abi.HTTPRequest{URL: "/things"}); err != nil {
			return nil, err
		}
		out := abi.IdentifyOutput{Accounts: []abi.Account{}}
		for _, id := range ids {
			out.Accounts = append(out.Accounts, abi.Account{ExternalID: id, Name: "Account " + id})
		}
		return out, nil
	}
}
