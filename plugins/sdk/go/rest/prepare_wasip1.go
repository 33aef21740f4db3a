package rest

import (
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// init takes the road of a request once, short of sending it: what the runtime finds out on the way is known to every call.
func init() {
	_, _ = wire.Marshal(abi.HTTPRequest{Role: "a", URL: "/", Query: map[string][]string{"a": {"b"}}, Headers: map[string]string{"a": "b"}})
	_, _ = wire.DecodeAnswer[abi.HTTPResponse]([]byte(`{"value":{"status":200,"headers":{"date":["a"],"content-type":["b"]},"text":"{\"a\":0}","url":"/"}}`))
}
