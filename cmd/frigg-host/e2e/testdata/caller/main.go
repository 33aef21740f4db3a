// Command caller is an integration that calls an API whenever and wherever it is told to.
package main

import (
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

type target struct {
	Path string `json:"path"`
}

type outcome struct {
	Said string `json:"said"`
}

const later integration.Event[target] = "LATER"

func init() {
	integration.Action("CALL", call)
	integration.Action("CALL_LATER", func(c *integration.Call, in target) (frigg.None, error) {
		return frigg.None{}, integration.Enqueue(c, later, in)
	})
	integration.On(later, func(c *integration.Call, in target) error {
		_, err := call(c, in)
		return err
	})
}

func call(c *integration.Call, in target) (outcome, error) {
	said, err := rest.Get[string](c.HTTP("api"), in.Path)
	return outcome{said}, err
}

func main() {}
