// Package storage keeps small values: of the integration record, or of the connected account (modules).
//
// Keys have at most 512 bytes, values at most 256 KiB of JSON. What a handler wrote is kept even if the handler fails later.
// A Store is safe for concurrent use.
package storage

import (
	"encoding/json"
	"iter"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Store holds the values.
type Store struct{ host wire.Host }

// New is for the packages module and integration.
func New(h wire.Host) Store { return Store{h} }

// Get reads the value of key; found is false if there is none.
func Get[T any](s Store, key string) (value T, found bool, err error) {
	a, err := wire.StorageGet(s.host, abi.StorageGet{Key: key})
	if err != nil || !a.Found {
		return value, false, err
	}
	return value, true, wire.Decode(a.Value, &value, "the stored value")
}

// Put writes a value.
func (s Store) Put(key string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = wire.StoragePut(s.host, abi.StoragePut{Key: key, Value: b})
	return err
}

// Delete removes a value; removing nothing is fine.
func (s Store) Delete(key string) error {
	_, err := wire.StorageDelete(s.host, abi.StorageDelete{Key: key})
	return err
}

// Keys walks the keys with a prefix, in byte order.
func (s Store) Keys(prefix string) iter.Seq2[string, error] {
	return frigg.Each(func(after string) (frigg.Page[string], error) {
		a, err := wire.StorageList(s.host, abi.StorageList{Prefix: prefix, After: after})
		page := frigg.Page[string]{Items: a.Keys}
		if a.More && len(a.Keys) > 0 {
			page.Next = a.Keys[len(a.Keys)-1]
		}
		return page, err
	})
}
