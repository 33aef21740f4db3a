package guest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

// template is a module right after it was set up, before any call: every call starts from it. It is made once and never
// changes, and making it again gives the same bytes, in any process and on any machine: while a guest is set up its clock
// and its randomness are always the same. So it never holds anything of a tenant, nor a secret.
type template struct {
	image   *snapshot.Image
	globals []uint64
	arena   []byte
	blocks  []block
	mono    int64 // where the guest's monotonic clock stands
}

// Bounds of setting up.
var bootLimits = Limits{Fuel: 1 << 29, MemoryBytes: abi.LimitMemoryBytes}

// maxImage bounds what a template keeps in memory, outside of any call's limits. A Go program has about 4 MiB.
const maxImage = 64 << 20

// booting stands for the name of an export in texts.
const booting = "its start"

// makeTemplate makes the template, if there can be one, and lets go of what only that needs.
func (m *nativeModule) makeTemplate(ctx context.Context) {
	if m.why = m.code.Unrestorable; m.why != "" {
		m.code.Wasm = nil
		return
	}
	if m.engine.ladder.isolation == Fresh {
		m.why = "the engine makes one for every call"
		return
	}
	m.template, m.why = m.boot(ctx)
	m.code.Wasm = nil
	if m.template != nil && !m.convention.alone(command) {
		m.code.Data = nil
	}
}

// boot sets an instance up and makes a template of it. The text says why there is none; that is no error, since what goes
// wrong may depend on the call, which then has it.
func (m *nativeModule) boot(ctx context.Context) (*template, string) {
	i := &instance{module: m}
	k := &i.kernel
	if s := k.open(ctx, &Call{Export: booting, Limits: bootLimits}, []string{booting}, m.memory(nil)); s != nil {
		return nil, "it cannot start: " + s.text
	}
	defer k.cancel()
	k.begin(m.engine)
	k.booting = true
	k.clock.start(bootTime, bootMono)
	k.dice.seed(sha256.Sum256(m.code.Wasm))
	err := m.prepare(i)
	k.pace.rest()
	defer i.close()
	switch s := k.judge(err); {
	case k.asked != "": // first, since it may have failed for that
		return nil, fmt.Sprintf("its start uses %s, which belongs to a call", k.asked)
	case k.succeeded():
		return nil, "it cannot start: it exits"
	case s != nil:
		return nil, "it cannot start: " + s.text
	}
	image, err := snapshot.NewImage(i.memory.Bytes())
	if err != nil {
		return nil, "no image of its memory can be made: " + err.Error()
	}
	if n := image.Resident(); n > maxImage {
		_ = image.Close()
		return nil, fmt.Sprintf("its start leaves %s of memory filled, more than %s", size(n), size(maxImage))
	}
	t := &template{image: image, arena: slices.Clone(k.arena), blocks: slices.Clone(k.blocks), mono: k.clock.mono}
	for _, g := range i.globals {
		t.globals = append(t.globals, g.Get())
	}
	return t, ""
}

// prepare makes an instance of its own for a call, or for a template, and sets it up.
func (m *nativeModule) prepare(i *instance) (err error) {
	k := &i.kernel
	defer func() {
		if err == nil && k.stopped != nil {
			err = k.stopped
		}
	}()
	defer k.recover()
	if err := i.open(); err != nil {
		return err
	}
	if err := m.load(i); err != nil {
		return err
	}
	return m.convention.setUp(i)
}

// load does what the load-time pass has taken out of the module: data, and the start function.
func (m *nativeModule) load(i *instance) error {
	memory := i.memory.Bytes()
	for _, d := range m.code.Data {
		if uint64(d.Offset)+uint64(len(d.Bytes)) > uint64(len(memory)) {
			i.kernel.stopped = &stop{reason: ReasonTrap, text: "trap: its data does not fit into its memory"}
			return i.kernel.stopped
		}
		copy(memory[d.Offset:], d.Bytes)
	}
	if m.code.Start == "" {
		return nil
	}
	return i.function(m.code.Start).CallWithStack(&i.kernel, nil)
}
