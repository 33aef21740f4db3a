package integration

import (
	"encoding/json"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Info leaves a message for people with the record.
func (c *Call) Info(title, text string) error { return c.message(abi.MessageLevelInfo, title, text) }

// Warn leaves a warning for people with the record.
func (c *Call) Warn(title, text string) error { return c.message(abi.MessageLevelWarning, title, text) }

// Error leaves an error for people with the record; the status stays as it is.
func (c *Call) Error(title, text string) error { return c.message(abi.MessageLevelError, title, text) }

// SetStatus changes the status of the record.
func (c *Call) SetStatus(s Status) error { return c.update(abi.IntegrationUpdate{Status: s}) }

// UpdateConfig merges patch into the configuration (RFC 7396): a field that is null is removed.
func (c *Call) UpdateConfig(patch any) error {
	b, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return c.update(abi.IntegrationUpdate{Config: b})
}

func (c *Call) message(level abi.MessageLevel, title, text string) error {
	return c.update(abi.IntegrationUpdate{Messages: []abi.Message{{Level: level, Title: title, Message: text}}})
}

func (c *Call) update(u abi.IntegrationUpdate) error {
	record, err := wire.IntegrationUpdate(c.host, u)
	if err != nil {
		return err
	}
	c.Integration = record
	return nil
}
