package connection

import (
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/google/uuid"
)

// CredentialID names a credential: "cred_" and a version 7 UUID.
type CredentialID string

// NewCredentialID returns an ID that sorts after earlier ones.
func NewCredentialID() CredentialID { return CredentialID("cred_" + uuid.Must(uuid.NewV7()).String()) }

// Status says whether the vendor still takes a credential.
type Status string

const (
	OK      Status = "ok"
	Invalid Status = "invalid" // refused for good: the person must authorise again
)

// Credential is what opens an account at a vendor: all that the person typed and the vendor gave, sealed.
type Credential struct {
	ID     CredentialID
	Owner  account.Owner
	Module string // name of the API module
	Status Status
	Sealed string // Values, sealed at the place of this row

	// Version counts every change of Sealed and Status. A change names the version that it saw.
	Version   int64
	ExpiresAt time.Time // of the access token; zero if the vendor did not say
	RenewAt   time.Time // from then on a renewal is due; zero: only once the vendor refuses the token
	RetryAt   time.Time // a renewal failed; none is tried before
	RefusedAt time.Time // last renewal that was made because the vendor refused a token which should have been good

	CreatedAt time.Time
	UpdatedAt time.Time
}

// place is where the values of a credential are sealed to.
func (c *Credential) place() secret.Place {
	return secret.Place{Table: "credentials", Column: "secrets", Row: string(c.ID)}
}

// due reports that the token should be renewed before its next use.
func (c *Credential) due(now time.Time) bool { return !c.RenewAt.IsZero() && !now.Before(c.RenewAt) }

// expired reports that the token is certainly useless.
func (c *Credential) expired(now time.Time) bool {
	return !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt)
}

// Lease is the right to renew one version of a credential. Only its holder may store the result.
type Lease struct {
	Holder string // unique for every attempt
	Until  time.Time
}

// Renewal is the outcome of renewing a credential.
type Renewal struct {
	Sealed    string
	ExpiresAt time.Time
	RenewAt   time.Time
	RefusedAt time.Time
	At        time.Time
}
