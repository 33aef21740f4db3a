package guest

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

// TestLadder_EveryRungPassesTheSuite: the one that is chosen here is what TestNative tests.
func TestLadder_EveryRungPassesTheSuite(t *testing.T) {
	t.Parallel()
	best, rejected := snapshot.Probe()
	for _, rung := range isolations {
		t.Run(string(rung), func(t *testing.T) {
			t.Parallel()
			if rung == Isolation(best) {
				t.Skip("TestNative tests it")
			}
			for _, r := range rejected {
				if rung == Isolation(r.Method) {
					t.Skip("this system does not offer it")
				}
			}
			suite(t, func(ctx context.Context, c Config) (Engine, error) {
				c.Isolation = rung
				return OpenNative(ctx, c)
			})
		})
	}
}

func TestLadder_TakesTheFirstRungThatHolds(t *testing.T) {
	t.Parallel()
	best, rejected := snapshot.Probe()
	r := open(t, Config{}).Report()
	if r.Isolation != Isolation(best) || len(r.Rejected) != len(rejected) {
		t.Errorf("it chose %s, rejecting %v; the test says %s, rejecting %v", r.Isolation, r.Rejected, best, rejected)
	}
	if r.Idle != 0 || r.IdleBytes != 0 {
		t.Errorf("the test left %d instances of %d bytes", r.Idle, r.IdleBytes)
	}
}

func TestLadder_RefusesWhatIsNoRung(t *testing.T) {
	t.Parallel()
	if _, err := OpenNative(context.Background(), Config{Isolation: "hope"}); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	gone, leave := context.WithCancel(context.Background())
	leave()
	if _, err := OpenNative(gone, Config{}); !fault.Is(err, fault.Canceled) {
		t.Error(err)
	}
}

// stuck is a global that cannot be put back.
type stuck struct{ api.MutableGlobal }

func (s stuck) Get() uint64 { return s.MutableGlobal.Get() + 16 }

// wrongly are ways in which putting back fails without a word.
var wrongly = map[string]func(*instance){
	"a global": func(i *instance) { i.globals[0] = stuck{i.globals[0]} },
}

// TestLadder_WhatIsNotPutBackIsFoundAndUsedNoMore: then the module goes on, with an instance for each call.
func TestLadder_WhatIsNotPutBackIsFoundAndUsedNoMore(t *testing.T) {
	t.Parallel()
	for name, spoil := range wrongly {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var heard bytes.Buffer
			e := open(t, Config{Imports: []Import{sendImport}, Log: slog.New(slog.NewTextHandler(&heard, nil))}).(*native)
			m, other := compiledBytes(t, e, fixture("good")), compiledBytes(t, e, fixture("bulk"))
			fuelOf(t, other, "echo", Limits{}, "")
			for range canary - 1 {
				fuelOf(t, m, "noop", Limits{}, "")
			}
			if n, _ := e.pool.len(); n != 2 || heard.Len() > 0 {
				t.Fatalf("%d idle instances, and the operator heard %q", n, heard.String())
			}
			spoil(e.pool.idleOf(m)[0])
			fuelOf(t, m, "noop", Limits{}, "")
			if d := m.Describe(); d.Isolation != Fork || d.Why != spoiledText || !strings.Contains(heard.String(), spoiledText) || !strings.Contains(heard.String(), "plugin=p") {
				t.Errorf("it says %+v, and the operator heard %q", d, heard.String())
			}
			for range 3 {
				if err := stateOf(m); err != nil {
					t.Error(err)
				}
				if n := len(e.pool.idleOf(m)); n != 0 {
					t.Errorf("%d of its instances are kept", n)
				}
			}
			if d := other.Describe(); d.Isolation != e.Report().Isolation || len(e.pool.idleOf(other)) != 1 {
				t.Errorf("another module is %+v with %d idle instances", d, len(e.pool.idleOf(other)))
			}
			if strings.Count(heard.String(), spoiledText) != 1 {
				t.Errorf("the operator heard %q", heard.String())
			}
		})
	}
}

// stateOf says what is wrong with the state that a call of good sees.
func stateOf(m Module) error {
	r, err := m.Call(context.Background(), Call{Plugin: "p", Export: "state"})
	if err != nil {
		return err
	}
	return equal("global, memory, variable", []byte{1, 0, 0}, r.Output)
}

// TestLadder_AnInstanceThatCannotBePutBackIsClosed: and the call that it served has succeeded.
func TestLadder_AnInstanceThatCannotBePutBackIsClosed(t *testing.T) {
	t.Parallel()
	var heard bytes.Buffer
	e := open(t, Config{Imports: []Import{sendImport}, Log: slog.New(slog.NewTextHandler(&heard, nil))}).(*native)
	m := compiledBytes(t, e, fixture("good"))
	e.ladder.method = "hope" // after the test at the start
	for range 3 {
		if err := stateOf(m); err != nil {
			t.Error(err)
		}
	}
	if n, _ := e.pool.len(); n != 0 || !strings.Contains(heard.String(), "could not be put back") {
		t.Errorf("%d idle instances, and the operator heard %q", n, heard.String())
	}
}
