package plugin

import (
	"context"
	"time"
)

// Store is what this room keeps. Every write is one act, all or nothing. The lists are as long as there are plugins and
// versions of them.
type Store interface {
	// PluginGrants returns all grants.
	PluginGrants(ctx context.Context) ([]*Grant, error)
	// PluginApproved saves a grant; one for the same digest is replaced.
	PluginApproved(ctx context.Context, g *Grant) error
	// PluginRevoked forgets all grants under a name, and returns how many.
	PluginRevoked(ctx context.Context, name string) (int, error)

	// PluginsInUse returns the versions with which work began that has not ended.
	PluginsInUse(ctx context.Context) ([]Digest, error)

	// PluginInstalls returns which version serves under each name.
	PluginInstalls(ctx context.Context) ([]*Install, error)
	// PluginInstalled saves that a version serves from now on, and, unless it is nil, the grant that was carried over.
	PluginInstalled(ctx context.Context, in *Install, carried *Grant) error
	// PluginRemoved forgets what served under a name; nothing is no error. Grants and settings stay.
	PluginRemoved(ctx context.Context, name string) error

	// PluginSettings returns what is stored for a plugin.
	PluginSettings(ctx context.Context, plugin string) ([]*StoredSetting, error)
	// PluginSettingSet saves a value in place of the old one.
	PluginSettingSet(ctx context.Context, s *StoredSetting) error
	// PluginSettingCleared removes a value; none is no error.
	PluginSettingCleared(ctx context.Context, plugin, name string) error
}

// Install says which version serves under a name, so that a start finds it again whatever has happened to its file.
type Install struct {
	Name   string
	Digest Digest
	File   string // base name in the plugins folder
	At     time.Time
}

// StoredSetting is an operator's value of a setting.
type StoredSetting struct {
	Plugin string
	Name   string
	Value  string // as is, or sealed
	Sealed bool
	At     time.Time
}
