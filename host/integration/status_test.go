package integration

import (
	"testing"

	"github.com/frigg-host/frigg-host/abi"
)

var statuses = []abi.Status{abi.StatusInCreation, abi.StatusNeedsConfig, abi.StatusEnabled, abi.StatusProcessing, abi.StatusDisabled, abi.StatusError, abi.StatusInDeletion}

func TestDecide_EveryStatusAndEvent(t *testing.T) {
	t.Parallel()
	want := map[abi.Status][3]Decision{ // ON_UPDATE, ON_DELETE, ON_WEBHOOK
		abi.StatusInCreation:  {Run, Run, Wait},
		abi.StatusNeedsConfig: {Run, Run, Wait},
		abi.StatusEnabled:     {Run, Run, Run},
		abi.StatusProcessing:  {Run, Run, Run},
		abi.StatusDisabled:    {Run, Run, Discard},
		abi.StatusError:       {Run, Run, Wait},
		abi.StatusInDeletion:  {Discard, Run, Discard},
	}
	for _, s := range statuses {
		w, ok := want[s]
		if !ok {
			t.Fatalf("no row for %s", s)
		}
		for i, event := range []string{abi.EventOnUpdate, abi.EventOnDelete, abi.EventOnWebhook} {
			if got := Decide(s, event); got != w[i] {
				t.Errorf("Decide(%s, %s) = %d, want %d", s, event, got, w[i])
			}
		}
	}
}

func TestConfigured_APauseStaysAndCompletenessDecides(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		from             abi.Status
		complete, absent abi.Status
	}{
		{abi.StatusInCreation, abi.StatusInCreation, abi.StatusInCreation},
		{abi.StatusNeedsConfig, abi.StatusEnabled, abi.StatusNeedsConfig},
		{abi.StatusEnabled, abi.StatusEnabled, abi.StatusNeedsConfig},
		{abi.StatusProcessing, abi.StatusProcessing, abi.StatusNeedsConfig},
		{abi.StatusDisabled, abi.StatusDisabled, abi.StatusDisabled},
		{abi.StatusError, abi.StatusError, abi.StatusNeedsConfig},
		{abi.StatusInDeletion, abi.StatusInDeletion, abi.StatusInDeletion},
	} {
		if got := configured(row.from, true); got != row.complete {
			t.Errorf("%s, complete: %s, want %s", row.from, got, row.complete)
		}
		if got := configured(row.from, false); got != row.absent {
			t.Errorf("%s, incomplete: %s, want %s", row.from, got, row.absent)
		}
	}
}

func TestMaySet_GuestsNeverLiftAPause(t *testing.T) {
	t.Parallel()
	for _, from := range statuses {
		for _, to := range statuses {
			guests := to == abi.StatusEnabled || to == abi.StatusNeedsConfig || to == abi.StatusProcessing || to == abi.StatusError
			if want := guests && from != abi.StatusDisabled && from != abi.StatusInDeletion; guestMaySet(from, to) != want {
				t.Errorf("guest %s to %s: %v", from, to, !want)
			}
			if from == to {
				continue
			}
			person := to == abi.StatusDisabled && from != abi.StatusInCreation && from != abi.StatusInDeletion ||
				to == abi.StatusEnabled && (from == abi.StatusDisabled || from == abi.StatusError)
			if personMaySet(from, to) != person {
				t.Errorf("person %s to %s: %v", from, to, !person)
			}
		}
	}
}

func TestActsIn_APausedRecordStillShowsSamples(t *testing.T) {
	t.Parallel()
	for s, want := range map[abi.Status][2]bool{ // an action, sample data
		abi.StatusInCreation: {false, false}, abi.StatusNeedsConfig: {true, true}, abi.StatusEnabled: {true, true}, abi.StatusProcessing: {true, true},
		abi.StatusDisabled: {false, true}, abi.StatusError: {true, true}, abi.StatusInDeletion: {false, false},
	} {
		if got := [2]bool{actsIn(s, "SYNC_NOW"), actsIn(s, actionSampleData)}; got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
}
