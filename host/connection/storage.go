package connection

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
)

// Bounds of an entity's key-value store; those of keys and values are the contract's.
const (
	maxKeyBytes     = 512
	maxValueBytes   = 256 << 10
	maxStorageBytes = 64 << 20
	maxKeysListed   = 1000
)

// storage is the capability `storage` of a module: the key-value store of one entity.
type storage struct {
	s     *Service
	owner account.Owner
	id    EntityID
}

// Get implements plugin.StorageCapability.
func (c storage) Get(ctx context.Context, r abi.StorageGet) (abi.StorageValue, error) {
	if err := checkKey(r.Key); err != nil {
		return abi.StorageValue{}, err
	}
	v, err := c.s.store.EntityValue(ctx, c.owner, c.id, r.Key)
	if fault.Is(err, fault.NotFound) {
		return abi.StorageValue{}, nil
	}
	return abi.StorageValue{Found: err == nil, Value: v}, err
}

// Put implements plugin.StorageCapability.
func (c storage) Put(ctx context.Context, r abi.StoragePut) (abi.Empty, error) {
	if err := checkKey(r.Key); err != nil {
		return abi.Empty{}, err
	}
	switch {
	case !json.Valid(r.Value) || !utf8.Valid(r.Value):
		return abi.Empty{}, guestFault(fault.Invalid, "the value is missing or is not JSON in UTF-8")
	case len(r.Value) > maxValueBytes:
		return abi.Empty{}, guestFault(fault.TooLarge, "a value has at most %d bytes", maxValueBytes)
	}
	return abi.Empty{}, c.s.store.PutEntityValue(ctx, c.owner, c.id, r.Key, r.Value, maxStorageBytes, c.s.now())
}

// Delete implements plugin.StorageCapability.
func (c storage) Delete(ctx context.Context, r abi.StorageDelete) (abi.Empty, error) {
	if err := checkKey(r.Key); err != nil {
		return abi.Empty{}, err
	}
	return abi.Empty{}, c.s.store.DeleteEntityValue(ctx, c.owner, c.id, r.Key)
}

// List implements plugin.StorageCapability.
func (c storage) List(ctx context.Context, r abi.StorageList) (abi.StorageKeys, error) {
	limit := int(r.Limit)
	if r.Limit == 0 {
		limit = 100
	}
	if r.Limit < 0 || r.Limit > maxKeysListed {
		return abi.StorageKeys{}, guestFault(fault.Invalid, "limit must be from 1 to %d", maxKeysListed)
	}
	for _, text := range []string{r.Prefix, r.After} {
		if text != "" {
			if err := checkKey(text); err != nil {
				return abi.StorageKeys{}, err
			}
		}
	}
	keys, err := c.s.store.EntityValueKeys(ctx, c.owner, c.id, r.Prefix, r.After, limit+1)
	if err != nil || len(keys) <= limit {
		return abi.StorageKeys{Keys: keys}, err
	}
	return abi.StorageKeys{Keys: keys[:limit], More: true}, nil
}

func checkKey(key string) error {
	if key == "" || len(key) > maxKeyBytes || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
		return guestFault(fault.Invalid, "a key has 1 to %d bytes of UTF-8 without NUL", maxKeyBytes)
	}
	return nil
}

func guestFault(kind fault.Kind, format string, args ...any) *fault.Error {
	return fault.New(kind, "connection.Capability", format, args...).On(fault.Guest)
}
