package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/frigg-host/frigg-host/host/guest/bench/order"
)

// function is the work of a guest, done by the host itself or by the plugin of another process. ask is how it asks its
// host.
type function func(export string, input []byte, ask func([]byte) ([]byte, error)) ([]byte, error)

func work(export string, input []byte, ask func([]byte) ([]byte, error)) ([]byte, error) {
	switch export {
	case "noop":
		return nil, nil
	case "echo":
		return bytes.Clone(input), nil
	case "json":
		return order.Double(input)
	case "ask":
		return ask(input)
	}
	return nil, fmt.Errorf("there is no export %s", export)
}

func openNativeFunction(context.Context, *sample) (caller, error) { return function(work), nil }

func (f function) call(export string, input []byte) ([]byte, error) {
	return f(export, input, func([]byte) ([]byte, error) { return bytes.Clone(answer), nil })
}

func (f function) close() error { return nil }
