// Package storetest says what every database of the store must do, whatever its dialect.
//
// Each room has a file here with its part. A part gets an empty database from open, and reaches it only through the
// methods that the room itself has.
package storetest

import (
	"testing"

	"github.com/frigg-host/frigg-host/store"
)

// Run plays the whole suite. open returns an empty database that is closed at the end of the test.
func Run(t *testing.T, open func(t *testing.T) *store.DB) {
	t.Run("Account", func(t *testing.T) { runAccount(t, open) })
	t.Run("Connection", func(t *testing.T) { runConnection(t, open) })
	t.Run("Event", func(t *testing.T) { runEvent(t, open) })
	t.Run("Integration", func(t *testing.T) { runIntegration(t, open) })
	t.Run("Job", func(t *testing.T) { runJob(t, open) })
	t.Run("Plugin", func(t *testing.T) { runPlugin(t, open) })
	t.Run("Secret", func(t *testing.T) { runSecret(t, open) })
	t.Run("Sync", func(t *testing.T) { runSync(t, open) })
}
