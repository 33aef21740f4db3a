// Command probe is an API module that does what a test tells it.
package main

import (
	"encoding/json"

	"github.com/frigg-host/frigg-host/host/testdata/guests/behave"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/storage"
)

func init() {
	module.Method(frigg.Method[behave.Order, []any]("do"), func(c *module.Call, o behave.Order) ([]any, error) {
		return behave.Follow(guest{c}, o)
	})
}

type guest struct{ *module.Call }

func (g guest) HTTP(string) rest.Client { return g.Call.HTTP() }

func (g guest) Own(s behave.Step) (any, bool, error) {
	switch s.Do {
	case "log":
		for range max(s.Number, 1) {
			g.Log().Info(s.Text)
		}
		return "logged", true, nil
	case "tell":
		all := s.Text + behave.Known(g.Connection)
		g.Log().Debug(all)
		return all, true, g.Storage().Put("told", all)
	case "told":
		told, _, err := storage.Get[json.RawMessage](g.Storage(), "told")
		return told, true, err
	}
	return nil, false, nil
}

func main() {}
