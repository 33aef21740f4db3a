package event_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/frigg-host/frigg-host/host/event"
)

func TestPattern_ChoosesNames(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		p     event.Pattern
		valid bool
		yes   event.Name
		no    event.Name
	}{
		{"*", true, event.JobDead, ""},
		{"job.dead", true, event.JobDead, event.JobHalted},
		{"integration.*", true, event.IntegrationFailed, event.JobDead},
		{"notify.*", true, event.Notify("X"), event.JobDead},
		{"notify.DEAL_WON", true, event.Notify("DEAL_WON"), event.Notify("DEAL_WON_2")},
		{"notify.deal", false, "", ""},
		{"notify.", false, "", ""},
		{"job.died", false, "", ""},
		{"jobs.*", false, "", ""},
		{"job*", false, "", ""},
		{"", false, "", ""},
		{"**", false, "", ""},
		{event.Pattern("notify." + strings.Repeat("A", 100)), false, "", ""},
	} {
		if row.p.Valid() != row.valid {
			t.Errorf("%q is valid: %t", row.p, !row.valid)
		}
		if row.yes != "" && !row.p.Matches(row.yes) || row.no != "" && row.p.Matches(row.no) {
			t.Errorf("%q chooses wrongly", row.p)
		}
	}
	for _, n := range event.Names {
		if !event.Pattern(n).Valid() {
			t.Errorf("%s cannot be chosen", n)
		}
	}
}

func TestSignal_NobodyMissesARing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s event.Signal
		s.Ring() // nobody waits
		first, second := s.Next(), s.Next()
		s.Ring() // between Next and the wait
		<-first
		<-second
		select {
		case <-s.Next():
			t.Error("woken by a ring of before")
		default:
		}
	})
}
