package connection

import (
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/google/uuid"
)

// EntityID names an entity: "ent_" and a version 7 UUID.
type EntityID string

// NewEntityID returns an ID that sorts after earlier ones.
func NewEntityID() EntityID { return EntityID("ent_" + uuid.Must(uuid.NewV7()).String()) }

// Entity is an account at a vendor. Owner, module, external id and sub type name it: authorising the same account again keeps
// the ID and points it at the new credential.
type Entity struct {
	ID         EntityID
	Owner      account.Owner
	Module     string
	Credential CredentialID
	ExternalID string // the vendor's id of the account
	SubType    string
	Name       string          // for people
	Details    json.RawMessage // a JSON object, or empty
	Status     Status          // of its credential; reads fill it
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Bounds of what a vendor or guest says of an account.
const (
	maxAccounts     = 200
	maxAccountID    = 512
	maxAccountName  = 512
	maxDetailsBytes = 64 << 10
)

func newEntity(o account.Owner, module string, c CredentialID, a abi.Account, now time.Time) *Entity {
	return &Entity{
		ID: NewEntityID(), Owner: o, Module: module, Credential: c, ExternalID: a.ExternalID, SubType: a.SubType,
		Name: a.Name, Details: a.Details, Status: OK, CreatedAt: now, UpdatedAt: now,
	}
}
