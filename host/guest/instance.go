package guest

import (
	"context"
	"reflect"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/frigg-host/frigg-host/host/guest/rewrite"
	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

// instance is one live copy of a module: compiled code with a memory, globals and an Extism kernel of its own. It serves
// one call at a time and belongs to that call's goroutine.
type instance struct {
	module    *nativeModule
	template  *template // what it is put back to after a call; nil if it serves one call only
	guest     api.Module
	memory    *snapshot.Memory
	globals   []api.MutableGlobal
	functions map[string]*function
	stack     [1]uint64 // of the call: its result
	kernel    kernel

	calls   int       // since functions were resolved
	private uint64    // bytes that are its own, about
	idle    time.Time // since when
	place             // among those that are idle
}

// What an instance takes beside its memory.
const (
	instanceBytes = 16 << 10  // that wazero keeps for it, about
	keptStack     = 128 << 10 // call stacks that an idle instance may keep
)

// refresh is after how many calls the exports are resolved anew: also those of JavaScript, whose stacks nobody looks at.
const refresh = 256

// open makes the instance itself. No code of the guest runs. The kernel must be open.
func (i *instance) open() error {
	k := &i.kernel
	var image *snapshot.Image
	if i.template != nil {
		image = i.template.image
	}
	memory, err := snapshot.NewMemory(i.module.engine.config.MemoryCeiling, image)
	if err != nil {
		k.stopped = &stop{reason: ReasonHost, text: "there is no room for its memory", detail: err.Error()}
		return k.stopped
	}
	memory.Guard = k.mayGrow
	i.memory, k.memory = memory, memory
	plain := k.Context
	k.Context = experimental.WithMemoryAllocator(plain, experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory { return memory }))
	i.guest, err = i.module.engine.runtime.InstantiateModule(k, i.module.compiled, i.module.engine.instance)
	k.Context = plain
	if err != nil {
		memory.Free()
		return err
	}
	i.functions = map[string]*function{}
	k.fuel = i.guest.ExportedGlobal(i.module.code.Fuel).(api.MutableGlobal)
	k.lend()
	for _, name := range i.module.code.Globals {
		i.globals = append(i.globals, i.guest.ExportedGlobal(name).(api.MutableGlobal))
	}
	if i.template != nil {
		i.setGlobals()
	}
	return nil
}

// setGlobals gives the globals the values of the template.
func (i *instance) setGlobals() {
	for n, g := range i.globals {
		g.Set(i.template.globals[n])
	}
}

// function finds an export, once.
func (i *instance) function(name string) *function {
	f := i.functions[name]
	if f == nil {
		f = newFunction(i.guest.ExportedFunction(name))
		i.functions[name] = f
	}
	i.kernel.called = f
	return f
}

// restore puts the instance back to its template.
func (i *instance) restore() error {
	_, err := i.memory.Restore(i.module.engine.ladder.method, func() bool {
		_, ok := i.guest.Memory().Grow(1)
		return ok
	})
	if err != nil {
		return err
	}
	i.setGlobals()
	i.kernel.forget()
	stacks := uint64(0)
	for _, f := range i.functions {
		stacks += f.stackBytes()
	}
	if i.calls++; i.calls%refresh == 0 || stacks > keptStack {
		clear(i.functions)
		i.kernel.script, stacks = nil, 0
	}
	i.private = i.memory.Private() + i.kernel.kept() + stacks + instanceBytes
	return nil
}

// function is an export of an instance, and the call stack that wazero keeps for it.
type function struct {
	api.Function
	stack reflect.Value // a slice; invalid if there is none
}

func newFunction(f api.Function) *function {
	if v := reflect.Indirect(reflect.ValueOf(f)); v.Kind() == reflect.Struct {
		if stack := v.FieldByName("stack"); stack.Kind() == reflect.Slice {
			return &function{f, stack}
		}
	}
	return &function{Function: f}
}

// stackBytes is how much the call stack takes. It lies in the Go heap, gets up to 100 MB large in a deep recursion, and wazero
// never gives it back; nothing but reflection tells.
func (f *function) stackBytes() uint64 {
	if !f.stack.IsValid() {
		return 0
	}
	return uint64(f.stack.Cap()) * uint64(f.stack.Type().Elem().Size())
}

// clean reports whether nothing of the call is left, by looking at everything.
func (i *instance) clean() bool {
	if !i.memory.Same() {
		return false
	}
	for n, g := range i.globals {
		if g.Get() != i.template.globals[n] {
			return false
		}
	}
	return true
}

// close gives everything back.
func (i *instance) close() {
	if i.guest != nil {
		_ = i.guest.Close(context.Background())
		i.guest = nil
	}
}

// mayGrow is asked by the memory when the guest wants more. It is also how the guest comes back to Go at the end of each
// quantum of fuel: the code that the load-time pass put in asks for more than any memory may have.
func (k *kernel) mayGrow(current, wanted uint64) bool {
	switch {
	case wanted-current == rewrite.YieldPages*pageSize:
		k.refused = !k.refuel() || k.refused
		return false
	case wanted > k.room:
		k.refused = true
		return false
	}
	return true
}
