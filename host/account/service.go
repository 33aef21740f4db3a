package account

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// DefaultTokenTTL is how long a token is good.
const DefaultTokenTTL = 120 * time.Minute

// purgeBatch is how many expired tokens one act removes.
const purgeBatch = 1000

// Config is what the operator decides about users.
type Config struct {
	// Primary is the kind of user that owns entities and integrations. Zero is Individual.
	Primary Kind
	// CreateAppUsers lets Backend create the users it is asked for.
	CreateAppUsers bool
	// TokenTTL is how long a token is good. Zero is DefaultTokenTTL.
	TokenTTL time.Duration
	// Cost is the work of one password hash. Zero is DefaultCost. Hashes of another cost are replaced at login.
	Cost Cost
}

// Service is what can be done with users. Safe for concurrent use.
type Service struct {
	store     Store
	now       func() time.Time
	config    Config
	passwords *passwords
}

// New returns a Service that keeps its users in store. It returns fault.Invalid if config makes no sense.
func New(store Store, now func() time.Time, config Config) (*Service, error) {
	if config.Primary == "" {
		config.Primary = Individual
	}
	if config.TokenTTL == 0 {
		config.TokenTTL = DefaultTokenTTL
	}
	if config.Cost == (Cost{}) {
		config.Cost = DefaultCost
	}
	switch {
	case config.Primary != Individual && config.Primary != Organization:
		return nil, fault.New(fault.Invalid, "account.New", "primary is %q, it must be %q or %q", config.Primary, Individual, Organization).On(fault.Host)
	case config.TokenTTL < 0:
		return nil, fault.New(fault.Invalid, "account.New", "tokens must be good for some time, not %s", config.TokenTTL).On(fault.Host)
	case !config.Cost.valid():
		return nil, fault.New(fault.Invalid, "account.New", "the cost %s of a password hash is outside %s to %s", config.Cost, leastCost, mostCost).On(fault.Host)
	}
	return &Service{store: store, now: now, config: config, passwords: newPasswords(config.Cost)}, nil
}

// NewUser is what a person gives to become a user.
type NewUser struct {
	Username string // 1 to 254 bytes after trimming, no control characters
	Email    string // may be empty
	Password secret.Text
}

// CreateUser saves an individual who logs in with a password, and returns it with a first token. If organisations own
// things, the individual gets one of its own. Returns fault.Conflict if the username is taken.
func (s *Service) CreateUser(ctx context.Context, n NewUser) (*User, secret.Text, error) {
	username, err := cleanUsername(n.Username)
	if err != nil {
		return nil, secret.Text{}, err
	}
	email, err := cleanEmail(n.Email)
	if err != nil {
		return nil, secret.Text{}, err
	}
	if l := len(n.Password.Reveal()); l < MinPassword || l > MaxPassword {
		return nil, secret.Text{}, fault.New(fault.Invalid, "account.CreateUser", "the password must have %d to %d bytes", MinPassword, MaxPassword)
	}
	hash, err := s.passwords.hash(ctx, n.Password)
	if err != nil {
		return nil, secret.Text{}, err
	}
	u := &User{ID: NewID(), Kind: Individual, CreatedAt: s.time(), Username: username, Email: email, PasswordHash: hash}
	users := []*User{u}
	if s.config.Primary == Organization {
		own := &User{ID: NewID(), Kind: Organization, CreatedAt: u.CreatedAt, Name: username}
		u.Organization = own.ID
		users = []*User{own, u}
	}
	token, text := newToken(u.ID, u.CreatedAt, s.config.TokenTTL)
	if err := s.store.CreateUser(ctx, token, users...); err != nil {
		return nil, secret.Text{}, fault.Wrap(err, fault.Internal, "account.CreateUser", "the user could not be saved")
	}
	return u, text, nil
}

// Login returns a user and a new token. Returns fault.Unauthorized, with the same text after the same work, whether the
// user does not exist, has no password, or the password is wrong.
func (s *Service) Login(ctx context.Context, username string, password secret.Text) (*User, secret.Text, error) {
	u, err := s.byUsername(ctx, username)
	if err != nil {
		return nil, secret.Text{}, err
	}
	kept := s.passwords.decoy
	if u != nil && !u.PasswordHash.IsZero() {
		kept = u.PasswordHash
	}
	ok, outdated, err := s.passwords.verify(ctx, kept, password)
	if err != nil {
		return nil, secret.Text{}, err
	}
	if !ok || u == nil {
		return nil, secret.Text{}, fault.New(fault.Unauthorized, "account.Login", "incorrect username or password")
	}
	var upgrade HashUpgrade
	if outdated {
		upgrade.From = u.PasswordHash
		if upgrade.To, err = s.passwords.hash(ctx, password); err != nil {
			return nil, secret.Text{}, err
		}
	}
	token, text := newToken(u.ID, s.time(), s.config.TokenTTL)
	if err := s.store.LoggedIn(ctx, token, upgrade); err != nil {
		return nil, secret.Text{}, fault.Wrap(err, fault.Internal, "account.Login", "the login could not be saved")
	}
	return u, text, nil
}

// byUsername returns nil if there is no such user.
func (s *Service) byUsername(ctx context.Context, username string) (*User, error) {
	name, err := cleanUsername(username)
	if err != nil {
		return nil, nil
	}
	u, err := s.store.UserByUsername(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return u, fault.Wrap(err, fault.Internal, "account.Login", "the user could not be read")
}

// Authenticate returns who calls with token. Returns fault.Unauthorized for anything but a token that is good now.
func (s *Service) Authenticate(ctx context.Context, token secret.Text) (Actor, error) {
	refused := fault.New(fault.Unauthorized, "account.Authenticate", "the token is missing, wrong or expired; log in again")
	hash, ok := hashToken(token)
	if !ok {
		return Actor{}, refused
	}
	t, u, err := s.store.TokenByHash(ctx, hash)
	if fault.Is(err, fault.NotFound) {
		return Actor{}, refused
	}
	if err != nil {
		return Actor{}, fault.Wrap(err, fault.Internal, "account.Authenticate", "the token could not be read")
	}
	if !s.now().Before(t.ExpiresAt) {
		return Actor{}, refused
	}
	return s.actor(u)
}

// Logout ends one token. A token that is not good any more is no error.
func (s *Service) Logout(ctx context.Context, token secret.Text) error {
	hash, ok := hashToken(token)
	if !ok {
		return nil
	}
	return fault.Wrap(s.store.DeleteToken(ctx, hash), fault.Internal, "account.Logout", "the token could not be removed")
}

// Revoke ends all tokens of a user.
func (s *Service) Revoke(ctx context.Context, a Actor) error {
	if err := a.Valid(); err != nil {
		return err
	}
	return fault.Wrap(s.store.DeleteTokens(ctx, a.User), fault.Internal, "account.Revoke", "the tokens could not be removed")
}

// PurgeExpired removes all tokens that have expired and returns how many.
func (s *Service) PurgeExpired(ctx context.Context) (int, error) {
	total := 0
	for {
		n, err := s.store.DeleteExpiredTokens(ctx, s.time(), purgeBatch)
		total += n
		if err != nil || n < purgeBatch {
			return total, fault.Wrap(err, fault.Internal, "account.PurgeExpired", "expired tokens could not be removed")
		}
	}
}

// User returns the user who acts.
func (s *Service) User(ctx context.Context, a Actor) (*User, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	u, err := s.store.UserByID(ctx, a.User)
	return u, fault.Wrap(err, fault.Internal, "account.User", "the user could not be read")
}

// DeleteUser removes a user; its tokens end at once. Returns fault.Conflict while something belongs to the user.
func (s *Service) DeleteUser(ctx context.Context, id ID) error {
	return fault.Wrap(s.store.DeleteUser(ctx, id), fault.Internal, "account.DeleteUser", "the user could not be removed")
}

// actor says in whose name u acts.
func (s *Service) actor(u *User) (Actor, error) {
	switch {
	case u.Kind == s.config.Primary:
		return Actor{User: u.ID, Owner: Owner(u.ID)}, nil
	case s.config.Primary == Organization && u.Organization != "":
		return Actor{User: u.ID, Owner: Owner(u.Organization)}, nil
	}
	return Actor{}, fault.New(fault.Forbidden, "account.Actor", "this user has no %s to act for", s.config.Primary)
}

// time is now as columns keep it.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(time.Microsecond) }
