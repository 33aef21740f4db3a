package secret

import (
	"context"
	"time"
)

// Store is what this room keeps. Every method is one act, all or nothing.
type Store interface {
	// DataKey returns the data key of owner, else fault.NotFound.
	DataKey(ctx context.Context, owner string) (*DataKey, error)

	// AddDataKey saves key unless its owner has one, and returns the one that the owner has then.
	AddDataKey(ctx context.Context, key *DataKey) (*DataKey, error)

	// DeleteDataKey removes the data key of owner; having none is no error.
	DeleteDataKey(ctx context.Context, owner string) error

	// RootKeysInUse returns the ids of all root keys that have a check or a data key.
	RootKeysInUse(ctx context.Context) ([]string, error)

	// KeyCheck returns the check of a root key, else fault.NotFound.
	KeyCheck(ctx context.Context, rootKey string) (*KeyCheck, error)

	// AddFirstKeyCheck saves check if no root key is in use; otherwise it does nothing, which is no error.
	AddFirstKeyCheck(ctx context.Context, check *KeyCheck) error
}

// DataKey is the key under which the secrets of one owner are sealed, wrapped under a root key.
type DataKey struct {
	ID        string // "dek_" and a version 7 UUID
	Owner     string
	RootKey   string // id of the root key
	Wrapped   []byte
	CreatedAt time.Time
}

// KeyCheck proves at start that a root key is the right one: a known text, wrapped.
type KeyCheck struct {
	RootKey   string // id of the root key
	Wrapped   []byte
	CreatedAt time.Time
}
