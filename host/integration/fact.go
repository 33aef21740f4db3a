package integration

import (
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/event"
)

// FactOf says what is told of a record that came from one status to another; nothing if false.
func FactOf(was, is abi.Status) (event.Name, bool) {
	if was == is {
		return "", false
	}
	switch is {
	case abi.StatusEnabled:
		return event.IntegrationEnabled, true
	case abi.StatusProcessing:
		return event.IntegrationProcessing, true
	case abi.StatusNeedsConfig:
		return event.IntegrationNeedsConfig, true
	case abi.StatusDisabled:
		return event.IntegrationDisabled, true
	case abi.StatusError:
		return event.IntegrationFailed, true
	}
	return "", false // being made and being removed are told when they begin and when they are done
}

// NewFact makes a fact about in.
func NewFact(in *Integration, name event.Name, now time.Time) *event.Fact {
	return event.New(in.Owner, name, string(in.ID), event.Integration{ID: string(in.ID), Type: in.Plugin, Status: string(in.Status)}, now)
}
