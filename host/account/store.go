package account

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/secret"
)

// Store is what this room keeps. Every method is one act, all or nothing. Reads return fault.NotFound for what does not
// exist.
type Store interface {
	// CreateUser saves users in order, and token unless it is nil.
	// Returns fault.Conflict if a username, app user id or app organisation id is taken.
	CreateUser(ctx context.Context, token *Token, users ...*User) error

	// EnsureAppUsers returns the users known by the app ids of individual and organization, saving those that are not
	// there yet. Either may be nil. If both are given and the individual has no organisation, it joins this one.
	EnsureAppUsers(ctx context.Context, individual, organization *User) (*User, *User, error)

	// DeleteUser removes a user and its tokens. Returns fault.Conflict while something still belongs to it.
	DeleteUser(ctx context.Context, id ID) error

	UserByID(ctx context.Context, id ID) (*User, error)
	UserByUsername(ctx context.Context, username string) (*User, error)
	UserByAppUserID(ctx context.Context, appUserID string) (*User, error)
	UserByAppOrgID(ctx context.Context, appOrgID string) (*User, error)

	// LoggedIn saves token and, unless upgrade is zero, replaces the password hash of its user if that is still upgrade.From.
	LoggedIn(ctx context.Context, token *Token, upgrade HashUpgrade) error

	// TokenByHash returns a token, expired or not, with its user.
	TokenByHash(ctx context.Context, hash TokenHash) (*Token, *User, error)

	// DeleteToken removes one token; one that does not exist is no error.
	DeleteToken(ctx context.Context, hash TokenHash) error

	// DeleteTokens removes all tokens of user.
	DeleteTokens(ctx context.Context, user ID) error

	// DeleteExpiredTokens removes up to limit tokens that expired at now or before and returns how many it removed.
	DeleteExpiredTokens(ctx context.Context, now time.Time, limit int) (int, error)
}

// HashUpgrade replaces one password hash by another of the same password.
type HashUpgrade struct {
	From, To secret.Text
}
