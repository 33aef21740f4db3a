package connection

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

const (
	stateLifetime = 10 * time.Minute
	// maxStates bounds how many redirects one user may have under way.
	maxStates = 50
)

// StateHash is the SHA-256 of an OAuth2 state. A state has 256 random bits, so a plain hash is as good as a slow one.
type StateHash [sha256.Size]byte

// String is the hash in hexadecimal, as it is stored.
func (h StateHash) String() string { return hex.EncodeToString(h[:]) }

// State is a redirect under way: bound to who began it and for which module, good for one callback.
type State struct {
	Hash      StateHash
	Owner     account.Owner
	User      account.ID
	Module    string
	Sealed    string // redirect, sealed at the place of this row
	CreatedAt time.Time
	ExpiresAt time.Time
}

func (st *State) place() secret.Place {
	return secret.Place{Table: "authorization_states", Column: "secrets", Row: st.Hash.String()}
}

// redirect is what must be remembered between sending a person to the vendor and the callback.
type redirect struct {
	Verifier    string                 `json:"verifier,omitempty"` // PKCE, RFC 7636
	RedirectURI string                 `json:"redirect_uri"`       // must be the same at the token endpoint, RFC 6749 4.1.3
	Form        map[string]sealedValue `json:"form,omitempty"`
}

// randomText returns 256 random bits as 43 characters that need no escaping; RFC 7636 takes it as a verifier.
func randomText() string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails: the process ends instead
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// beginState keeps r for the callback under state.
func (s *Service) beginState(ctx context.Context, a account.Actor, module, state string, r redirect) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "connection.Authorize", "the redirect could not be encoded")
	}
	now := s.now()
	st := &State{
		Hash: sha256.Sum256([]byte(state)), Owner: a.Owner, User: a.User, Module: module,
		CreatedAt: now, ExpiresAt: now.Add(stateLifetime),
	}
	if st.Sealed, err = s.vault.Seal(ctx, string(a.Owner), st.place(), secret.NewText(string(text))); err != nil {
		return err
	}
	return s.store.BeginAuthorization(ctx, st, maxStates)
}

// takeState returns what beginState kept, once.
func (s *Service) takeState(ctx context.Context, a account.Actor, module, state string) (redirect, error) {
	var r redirect
	st, err := s.store.TakeState(ctx, a, module, sha256.Sum256([]byte(state)))
	if fault.Is(err, fault.NotFound) {
		return r, fault.New(fault.Invalid, "connection.Authorize",
			"this authorisation is not known: it was used already, is older than 10 minutes, or was begun by another user or for another module; begin again")
	}
	if err != nil {
		return r, err
	}
	if !s.now().Before(st.ExpiresAt) {
		return r, fault.New(fault.Invalid, "connection.Authorize", "this authorisation is older than 10 minutes; begin again")
	}
	text, err := s.vault.Open(ctx, string(a.Owner), st.place(), st.Sealed)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(text.Reveal()), &r); err != nil {
		return r, fault.Wrap(err, fault.Internal, "connection.Authorize", "the redirect could not be decoded")
	}
	return r, nil
}
