package guest

import "slices"

// convention is how a kind of guest is set up and called.
type convention interface {
	// exports are what Call takes, sorted.
	exports() []string
	// setUp runs what comes before any call.
	setUp(i *instance) error
	// call runs the export of the call. The output is in the kernel then.
	call(i *instance) error
	// alone reports whether an export wants an instance that was not set up.
	alone(export string) bool
}

// extismConvention is that of Extism's plugin development kits: exports without parameters, and everything else through
// extism:host/env.
type extismConvention struct {
	names  []string
	starts []start
}

func (c *extismConvention) exports() []string { return c.names }

// alone: a whole program sets itself up.
func (c *extismConvention) alone(export string) bool {
	return export == command && len(c.starts) > 0 && slices.Contains(c.names, command)
}

func (c *extismConvention) setUp(i *instance) error {
	for _, s := range c.starts {
		var stack [2]uint64 // both parameters of hs_init are 0
		err := i.function(s.export).CallWithStack(&i.kernel, stack[:])
		if err != nil && !s.optional {
			return err
		}
		if err != nil {
			i.kernel.stopped = nil
		}
	}
	return nil
}

// call takes a result that is not 0 for the guest's own error.
func (c *extismConvention) call(i *instance) error {
	k := &i.kernel
	i.stack[0] = 0
	if err := i.function(k.call.Export).CallWithStack(k, i.stack[:]); err != nil {
		return err
	}
	if text, result := k.errorText(), uint32(i.stack[0]); text != "" || result != 0 {
		k.stopped = failed(text, k.call.Export, result)
		return k.stopped
	}
	return nil
}

// Exports with a meaning of their own.
const (
	startInitialize = "_initialize"       // sets up a reactor (WASI application ABI)
	startCtors      = "__wasm_call_ctors" // sets up what was linked without either
	startHaskell    = "hs_init"
	command         = "_start" // a whole program, which sets itself up
)

// start is an export that runs before the one that is called.
type start struct {
	export   string
	optional bool // a failure does not matter
}

// newExtismConvention chooses what sets the guest up as every Extism host does. Those exports are not for callers.
func newExtismConvention(v *vetted) *extismConvention {
	c := &extismConvention{names: slices.DeleteFunc(slices.Clone(v.callable), func(name string) bool { return name == startInitialize || name == startCtors })}
	reactor, ctors := slices.Contains(v.callable, startInitialize), slices.Contains(v.callable, startCtors)
	switch {
	case v.haskell && reactor:
		c.starts = []start{{startInitialize, true}, {startHaskell, false}}
	case v.haskell:
		c.starts = []start{{startHaskell, false}}
	case reactor:
		c.starts = []start{{startInitialize, false}}
	case ctors:
		c.starts = []start{{startCtors, false}}
	}
	return c
}
