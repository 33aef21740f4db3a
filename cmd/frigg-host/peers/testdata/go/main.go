// Command go answers the endpoints of the comparison as authors of plugins write them: in Go, through the SDK.
package main

import (
	"encoding/json"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

type counted struct {
	OK bool `json:"ok"`
	N  int  `json:"n"`
}

type relayed struct {
	OK bool            `json:"ok"`
	Up json.RawMessage `json:"up"`
}

func init() {
	integration.Route("GET /hello", hello)
	integration.Route("GET /hello-user", hello)
	integration.RouteJSON("POST /json", count)
	integration.RouteJSON("GET /:integrationId/sub", relay)
}

func hello(*integration.Call, integration.Request[frigg.None]) (integration.Reply, error) {
	return integration.ReplyText(200, "hello\n")
}

func count(_ *integration.Call, r integration.Request[map[string]any]) (counted, error) {
	return counted{true, len(r.Body)}, nil
}

func relay(c *integration.Call, _ integration.Request[frigg.None]) (relayed, error) {
	up, err := rest.Get[json.RawMessage](c.HTTP("stub"), "/me")
	return relayed{true, up}, err
}

func main() {}
