package connection

import (
	"context"
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
)

// Store is what this room keeps. Every method is one act, all or nothing. Ids that are unknown or somebody else's are
// fault.NotFound.
type Store interface {
	// BeginAuthorization saves st and removes states that have expired and, beyond keep, the oldest of the same user.
	BeginAuthorization(ctx context.Context, st *State, keep int) error
	// TakeState removes and returns the state with this hash of a, expired or not, so that nobody finds it again.
	TakeState(ctx context.Context, a account.Actor, module string, hash StateHash) (*State, error)

	// CompleteAuthorization saves c and points entities at it: those that the owner has already keep their ids. Credentials
	// that lose their last entity are removed, and those of owner and module that never had one and were made before
	// abandoned. It returns the entities as they are now.
	CompleteAuthorization(ctx context.Context, c *Credential, entities []*Entity, abandoned time.Time) ([]*Entity, error)
	// AttachEntity points e at e.Credential, which must be of the same owner and module. If the owner has the entity already,
	// it keeps its id, and a credential that loses its last entity is removed.
	AttachEntity(ctx context.Context, e *Entity) (*Entity, error)

	CredentialByID(ctx context.Context, o account.Owner, id CredentialID) (*Credential, error)
	EntityByID(ctx context.Context, o account.Owner, id EntityID) (*Entity, error)
	// Connection returns an entity and its credential as they were at one moment.
	Connection(ctx context.Context, o account.Owner, id EntityID) (*Entity, *Credential, error)
	// Entities lists an owner's entities by age.
	Entities(ctx context.Context, o account.Owner) ([]*Entity, error)

	// LeaseCredential gives l the right to renew c if it is still at c.Version and nobody holds that right at now. It
	// returns the credential as it is then, or nil.
	LeaseCredential(ctx context.Context, c *Credential, l Lease, now time.Time) (*Credential, error)
	// RenewCredential stores r and ends the lease, if c is still at c.Version and holder has its lease.
	RenewCredential(ctx context.Context, c *Credential, holder string, r Renewal) (stored bool, err error)
	// ReleaseCredential ends the lease of holder; no renewal is tried before retryAt.
	ReleaseCredential(ctx context.Context, c *Credential, holder string, retryAt time.Time) error
	// InvalidateCredential marks c as Invalid if it is still at c.Version and the lease, if any is running, is holder's.
	InvalidateCredential(ctx context.Context, c *Credential, holder string, now time.Time) (changed bool, err error)
	// RestoreCredential marks c as OK if it is still at c.Version.
	RestoreCredential(ctx context.Context, c *Credential, now time.Time) (changed bool, err error)
	// KeepValues stores other sealed values if c is still at c.Version and nobody is renewing it at now.
	KeepValues(ctx context.Context, c *Credential, sealed string, now time.Time) (stored bool, err error)

	// RemoveEntity deletes an entity with its values, and its credential if that was its last, which is then returned.
	// Returns fault.Conflict while an integration uses it.
	RemoveEntity(ctx context.Context, o account.Owner, id EntityID, now time.Time) (*Credential, error)
	// RemoveCredential deletes a credential with its entities and returns it. Returns fault.Conflict while an integration
	// uses one of them.
	RemoveCredential(ctx context.Context, o account.Owner, id CredentialID, now time.Time) (*Credential, error)

	// EntityValue returns a value of an entity's key-value store.
	EntityValue(ctx context.Context, o account.Owner, id EntityID, key string) (json.RawMessage, error)
	// PutEntityValue writes a value. Returns fault.TooLarge if keys and values of the entity would then exceed maxBytes.
	PutEntityValue(ctx context.Context, o account.Owner, id EntityID, key string, value json.RawMessage, maxBytes int, now time.Time) error
	// DeleteEntityValue removes a value; removing nothing is no error.
	DeleteEntityValue(ctx context.Context, o account.Owner, id EntityID, key string) error
	// EntityValueKeys lists up to limit keys with prefix and behind after, in byte order.
	EntityValueKeys(ctx context.Context, o account.Owner, id EntityID, prefix, after string, limit int) ([]string, error)
}
