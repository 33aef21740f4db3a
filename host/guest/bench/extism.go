package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero/api"
)

// openExtism compiles a guest with the Extism Go SDK; a limit of zero leaves timeouts off, as they are by default.
func openExtism(ctx context.Context, s *sample, limit time.Duration) (*extism.CompiledPlugin, error) {
	imports, err := s.capabilities()
	if err != nil {
		return nil, err
	}
	var functions []extism.HostFunction
	for _, im := range imports {
		f := extism.NewHostFunctionWithStack(im.Name, func(_ context.Context, p *extism.CurrentPlugin, stack []uint64) {
			if _, err := p.ReadBytes(stack[0]); err != nil {
				panic(err)
			}
			offset, err := p.WriteBytes(answer)
			if err != nil {
				panic(err)
			}
			stack[0] = offset
		}, []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64})
		f.SetNamespace(im.Module)
		functions = append(functions, f)
	}
	manifest := extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: s.plain}}, Timeout: uint64(limit.Milliseconds())}
	return extism.NewCompiledPlugin(ctx, manifest, extism.PluginConfig{EnableWasi: true}, functions)
}

func callExtism(p *extism.Plugin, export string, input []byte) ([]byte, error) {
	result, output, err := p.Call(export, input)
	if err == nil && result != 0 {
		err = fmt.Errorf("%s returned %d", export, result)
	}
	return output, err
}

// extismPooled calls one instance again and again.
type extismPooled struct {
	compiled *extism.CompiledPlugin
	plugin   *extism.Plugin
}

func openExtismPooled(ctx context.Context, s *sample) (caller, error) {
	return poolExtism(ctx, s, timeout)
}

func openExtismWithout(ctx context.Context, s *sample) (caller, error) { return poolExtism(ctx, s, 0) }

func poolExtism(ctx context.Context, s *sample, limit time.Duration) (caller, error) {
	compiled, err := openExtism(ctx, s, limit)
	if err != nil {
		return nil, err
	}
	p, err := compiled.Instance(ctx, extism.PluginInstanceConfig{})
	return &extismPooled{compiled, p}, err
}

func (e *extismPooled) call(export string, input []byte) ([]byte, error) {
	return callExtism(e.plugin, export, input)
}

func (e *extismPooled) close() error {
	ctx := context.Background()
	return errors.Join(e.plugin.Close(ctx), e.compiled.Close(ctx))
}

// extismFresh makes an instance for each call.
type extismFresh struct{ compiled *extism.CompiledPlugin }

func openExtismFresh(ctx context.Context, s *sample) (caller, error) {
	compiled, err := openExtism(ctx, s, timeout)
	return &extismFresh{compiled}, err
}

func (e *extismFresh) call(export string, input []byte) ([]byte, error) {
	ctx := context.Background()
	p, err := e.compiled.Instance(ctx, extism.PluginInstanceConfig{})
	if err != nil {
		return nil, err
	}
	output, err := callExtism(p, export, input)
	return output, errors.Join(err, p.Close(ctx))
}

func (e *extismFresh) close() error { return e.compiled.Close(context.Background()) }
