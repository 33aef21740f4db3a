package integration

import (
	"slices"

	"github.com/frigg-host/frigg-host/abi"
)

// Decision says what becomes of an event that is due.
type Decision int

const (
	Run     Decision = iota // work it off now
	Wait                    // keep it until the record can work again
	Discard                 // drop it: a person paused or removed the record
)

// Decide says what becomes of an event of a record in this status. Nobody else may decide it.
func Decide(s abi.Status, event string) Decision {
	if s == abi.StatusInDeletion {
		if event == abi.EventOnDelete {
			return Run
		}
		return Discard
	}
	switch event {
	case abi.EventOnCreate, abi.EventOnUpdate, abi.EventOnDelete:
		return Run
	}
	switch s {
	case abi.StatusEnabled, abi.StatusProcessing:
		return Run
	case abi.StatusDisabled:
		return Discard
	}
	return Wait
}

// configured is the status after the configuration changed: a pause stays a pause, all else follows from completeness.
func configured(s abi.Status, complete bool) abi.Status {
	switch {
	case s == abi.StatusDisabled, s == abi.StatusInCreation, s == abi.StatusInDeletion, s == abi.StatusError && complete:
		return s
	case !complete:
		return abi.StatusNeedsConfig
	case s == abi.StatusProcessing:
		return s
	}
	return abi.StatusEnabled
}

// born is the status after ON_CREATE went well.
func born(complete bool) abi.Status {
	if !complete {
		return abi.StatusNeedsConfig
	}
	return abi.StatusEnabled
}

// guestMaySet says whether a guest may move its record from one status to another: between working states and to ERROR,
// never over a person's pause, and never into or out of deletion.
func guestMaySet(from, to abi.Status) bool {
	guests := []abi.Status{abi.StatusEnabled, abi.StatusNeedsConfig, abi.StatusProcessing, abi.StatusError}
	return slices.Contains(guests, to) && from != abi.StatusDisabled && from != abi.StatusInDeletion
}

// personMaySet says whether a person may move a record from one status to another: pause, lift a pause, and say that an
// error is mended.
func personMaySet(from, to abi.Status) bool {
	switch to {
	case abi.StatusDisabled:
		return from != abi.StatusInDeletion && from != abi.StatusInCreation
	case abi.StatusEnabled:
		return from == abi.StatusDisabled || from == abi.StatusError || from == abi.StatusEnabled
	}
	return from == to
}

// actsIn says whether a person may run actions on a record in this status.
func actsIn(s abi.Status, action string) bool {
	switch s {
	case abi.StatusInDeletion, abi.StatusInCreation:
		return false
	case abi.StatusDisabled:
		return action == actionSampleData
	}
	return true
}
