package sim_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/frigg-host/frigg-host/host/sim"
)

// take posts an event and gets an acknowledgement.
func take(l *sim.Ledger, event string) {
	l.Post(event, "lane")
	l.Acknowledge(event)
}

func work(l *sim.Ledger, event string) {
	l.Begin(event)
	l.Effect(event)
}

func TestLedger_SeesWhatAHostMustNotDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happens func(l *sim.Ledger)
		want    []string
	}{
		"all is well":        {func(l *sim.Ledger) { take(l, "a"); take(l, "b"); work(l, "a"); work(l, "b") }, nil},
		"done and not acked": {func(l *sim.Ledger) { l.Post("a", "lane"); work(l, "a") }, nil},
		"neither acked":      {func(l *sim.Ledger) { l.Post("a", "lane") }, nil},
		"lost":               {func(l *sim.Ledger) { take(l, "a") }, []string{"a was acknowledged and never worked off"}},
		"done twice":         {func(l *sim.Ledger) { take(l, "a"); work(l, "a"); work(l, "a") }, []string{"a was done 2 times"}},
		"posted at once":     {func(l *sim.Ledger) { l.Post("a", "lane"); take(l, "b"); l.Acknowledge("a"); work(l, "b"); work(l, "a") }, nil},
		"other lane": {func(l *sim.Ledger) {
			take(l, "a")
			l.Post("b", "other")
			l.Acknowledge("b")
			work(l, "b")
			work(l, "a")
		}, nil},
		"tried again later": {func(l *sim.Ledger) { take(l, "a"); take(l, "b"); l.Begin("a"); work(l, "b"); work(l, "a") }, nil},
		"overtaken":         {func(l *sim.Ledger) { take(l, "a"); take(l, "b"); work(l, "b"); work(l, "a") }, []string{"b began before a, which was acknowledged before it was posted"}},
		"overtaken by a late": {func(l *sim.Ledger) {
			take(l, "a")
			take(l, "b")
			take(l, "c")
			work(l, "c")
			work(l, "a")
			work(l, "b")
		}, []string{"c began before a, which was acknowledged before it was posted", "c began before b, which was acknowledged before it was posted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &sim.Ledger{}
			c.happens(l)
			if got := l.Problems(); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestLedger_ExcusesWhatAPersonDecides(t *testing.T) {
	t.Parallel()
	l := &sim.Ledger{}
	for i := range 3 {
		take(l, fmt.Sprint(i))
	}
	work(l, "1")
	if got := l.Problems("0", "2"); len(got) > 0 {
		t.Error(got)
	}
	if l.Acknowledged() != 3 || l.Effects("1") != 1 || l.Effects("9") != 0 {
		t.Error("miscounted")
	}
}
