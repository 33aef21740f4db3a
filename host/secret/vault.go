package secret

import (
	"context"
	"crypto/cipher"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/google/uuid"
)

const (
	// maxOpenKeys bounds the data keys kept in memory.
	maxOpenKeys = 4096
	// openKeyAge bounds how long a host goes on using a data key that another host has deleted.
	openKeyAge = 5 * time.Minute
)

// Vault seals and opens secrets. Every owner has one data key, made when it is first needed; deleting that key makes all
// that was ever sealed for the owner unreadable, in backups too. Safe for concurrent use.
type Vault struct {
	keys  Keyring
	store Store
	now   func() time.Time

	mu    sync.Mutex
	open  map[string]*openKey // by owner
	shred uint64              // counts Shred, so that a key read before is not kept after
}

// openKey is an unwrapped data key. It is immutable.
type openKey struct {
	id     string
	aead   cipher.AEAD
	mac    []byte // for fingerprints
	opened time.Time
}

// NewVault returns a Vault whose data keys are wrapped by keys and kept in store.
func NewVault(keys Keyring, store Store, now func() time.Time) *Vault {
	return &Vault{keys: keys, store: store, now: now, open: map[string]*openKey{}}
}

// Seal returns plain sealed for owner, to be stored at place and nowhere else. plain has at most 1 MiB.
func (v *Vault) Seal(ctx context.Context, owner string, place Place, plain Text) (sealed string, err error) {
	if err := named("secret.Seal", owner, place); err != nil {
		return "", err
	}
	if n := len(plain.Reveal()); n > maxPlain {
		return "", fault.New(fault.TooLarge, "secret.Seal", "the secret has %d bytes, the limit is %d", n, maxPlain)
	}
	key, err := v.key(ctx, owner, "")
	if fault.Is(err, fault.NotFound) {
		key, err = v.newKey(ctx, owner)
	}
	if err != nil {
		return "", err
	}
	box := key.aead.Seal(nil, nil, []byte(plain.Reveal()), place.associated(owner))
	return value{key: key.id, box: box}.String(), nil
}

// Open returns what was sealed for owner at place. It returns fault.NotFound if the data key of owner was deleted, and
// fault.Internal if sealed was changed, or moved from another row, column or owner.
func (v *Vault) Open(ctx context.Context, owner string, place Place, sealed string) (Text, error) {
	if err := named("secret.Open", owner, place); err != nil {
		return Text{}, err
	}
	val, err := parseValue(sealed)
	if err != nil {
		return Text{}, err
	}
	key, err := v.key(ctx, owner, val.key)
	if err != nil {
		return Text{}, err
	}
	if key.id != val.key {
		return Text{}, fault.New(fault.Internal, "secret.Open",
			"the value in %s.%s is sealed under %s, which is not the data key of its owner", place.Table, place.Column, val.key)
	}
	plain, err := key.aead.Open(nil, nil, val.box, place.associated(owner))
	if err != nil {
		return Text{}, fault.New(fault.Internal, "secret.Open",
			"the value in %s.%s, row %s does not open: it was changed, or moved from another row, column or owner",
			place.Table, place.Column, place.Row).With(err)
	}
	return NewText(string(plain)), nil
}

// Shred deletes the data key of owner. Nothing that was sealed for owner opens again: here at once, on other hosts within
// five minutes.
func (v *Vault) Shred(ctx context.Context, owner string) error {
	if owner == "" {
		return fault.New(fault.Internal, "secret.Shred", "no owner is named")
	}
	err := v.store.DeleteDataKey(ctx, owner)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shred++
	delete(v.open, owner)
	return err
}

// named refuses a value that would not be bound to anything.
func named(op, owner string, place Place) error {
	if owner == "" || !place.valid() {
		return fault.New(fault.Internal, op, "owner, table, column and row must all be named")
	}
	return nil
}

// key returns the data key of owner, else fault.NotFound. Unless id is empty, a key in memory must have it: another host may
// have shredded that key and begun a new one.
func (v *Vault) key(ctx context.Context, owner, id string) (*openKey, error) {
	v.mu.Lock()
	key, shred := v.open[owner], v.shred
	v.mu.Unlock()
	if key != nil && (id == "" || id == key.id) && v.now().Sub(key.opened) < openKeyAge {
		return key, nil
	}
	kept, err := v.store.DataKey(ctx, owner)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "secret.Key", "the data key cannot be read")
	}
	return v.unwrap(ctx, kept, shred)
}

// newKey makes the first data key of owner. If another host is faster its key is used.
func (v *Vault) newKey(ctx context.Context, owner string) (*openKey, error) {
	v.mu.Lock()
	shred := v.shred
	v.mu.Unlock()
	key := &DataKey{ID: "dek_" + uuid.Must(uuid.NewV7()).String(), Owner: owner, RootKey: v.keys.ID(), CreatedAt: v.now().UTC().Truncate(time.Microsecond)}
	wrapped, err := v.keys.Wrap(ctx, randomKey(), key.associated())
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "secret.NewKey", "the root key cannot be used")
	}
	key.Wrapped = wrapped
	kept, err := v.store.AddDataKey(ctx, key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "secret.NewKey", "the data key cannot be saved")
	}
	return v.unwrap(ctx, kept, shred)
}

// unwrap opens key and keeps it in memory, unless a Shred came after shred was read.
func (v *Vault) unwrap(ctx context.Context, key *DataKey, shred uint64) (*openKey, error) {
	raw, err := v.keys.Unwrap(ctx, key.RootKey, key.Wrapped, key.associated())
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "secret.Key", "the root key cannot be used")
	}
	aead, err := newAEAD(raw)
	if err != nil {
		return nil, err
	}
	mac, err := macKey(raw)
	if err != nil {
		return nil, err
	}
	opened := &openKey{id: key.ID, aead: aead, mac: mac, opened: v.now()}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.shred == shred {
		v.makeRoom()
		v.open[key.Owner] = opened
	}
	return opened, nil
}

// makeRoom drops any key when there are too many: opening it again costs one read.
func (v *Vault) makeRoom() {
	for owner := range v.open {
		if len(v.open) < maxOpenKeys {
			return
		}
		delete(v.open, owner)
	}
}

// associated binds a wrapped data key to its row and owner.
func (k *DataKey) associated() []byte { return joinParts(version, "data_keys", k.ID, k.Owner) }
