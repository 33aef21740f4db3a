package guest

import (
	"errors"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest/javascript"
)

// scriptConvention is that of JavaScript plugins: one module for all of them, whose instances differ in the program that
// they were set up with.
type scriptConvention struct{ program *javascript.Program }

func (c *scriptConvention) exports() []string { return c.program.Exports }

func (c *scriptConvention) alone(string) bool { return false }

func (c *scriptConvention) setUp(i *instance) error {
	if err := i.function(startInitialize).CallWithStack(&i.kernel, nil); err != nil {
		return err
	}
	return thrown(&i.kernel, c.program.Boot(&i.kernel, i.scripted()))
}

func (c *scriptConvention) call(i *instance) error {
	return thrown(&i.kernel, c.program.Call(&i.kernel, i.scripted(), i.kernel.call.Export))
}

// scripted is the program's side of the instance.
func (i *instance) scripted() *javascript.Instance {
	if i.kernel.script == nil {
		i.kernel.script = javascript.NewInstance(i.guest)
	}
	return i.kernel.script
}

// thrown makes what a program threw the guest's own error.
func thrown(k *kernel, err error) error {
	var e *javascript.Exception
	if errors.As(err, &e) && k.stopped == nil {
		k.stopped = &stop{reason: ReasonFailed, text: clean(e.Message, maxTextBytes), detail: clean(e.Stack, maxDetailBytes)}
		return k.stopped
	}
	return err
}

var _ javascript.Host = (*kernel)(nil)

// Instance implements javascript.Host.
func (k *kernel) Instance() *javascript.Instance { return k.script }

// Input implements javascript.Host.
func (k *kernel) Input() []byte { return k.input }

// SetOutput implements javascript.Host.
func (k *kernel) SetOutput(b []byte) {
	k.checkOutput(uint64(len(b)))
	k.out = span{k.place(b), uint64(len(b))}
}

// Capability implements javascript.Host.
func (k *kernel) Capability(capability, name string, request []byte) []byte {
	im := Import{abi.ModulePrefix + capability, name}
	if k.engine.offered[im] == (signature{"I", "I"}) {
		return k.ask(im, request)
	}
	return refusal(abi.FaultKindUnsupported, "this host has no "+clean(capability+"."+name, maxTextBytes))
}

// Log implements javascript.Host.
func (k *kernel) Log(level javascript.Level, line []byte) {
	of := map[javascript.Level]Level{
		javascript.Debug: LevelDebug, javascript.Info: LevelInfo, javascript.Warn: LevelWarn, javascript.Error: LevelError,
	}[level]
	k.wait(func() { k.meter.log(of, line) }) // it may be slow to write
}

// Random implements javascript.Host.
func (k *kernel) Random(b []byte) {
	if err := k.dice.read(b); err != nil {
		k.end(&stop{reason: ReasonHost, text: "there are no random bytes", detail: err.Error()})
	}
}
