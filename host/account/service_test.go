package account_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
)

// cheap makes tests fast; what the work is worth is a matter of the numbers alone.
var cheap = account.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}

// house is a Service with its database and clock.
type house struct {
	*account.Service
	db    *store.DB
	clock *clock
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func build(t *testing.T, config account.Config) *house {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: filepath.Join(t.TempDir(), "frigg.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return buildOn(t, db, config)
}

func buildOn(t *testing.T, db *store.DB, config account.Config) *house {
	t.Helper()
	if config.Cost == (account.Cost{}) {
		config.Cost = cheap
	}
	c := &clock{t: time.Date(2026, 1, 2, 3, 4, 5, 678900, time.FixedZone("", 3600))}
	s, err := account.New(db, c.now, config)
	if err != nil {
		t.Fatal(err)
	}
	return &house{Service: s, db: db, clock: c}
}

var (
	adasPassword = secret.NewText("correct horse battery")
	ada          = account.NewUser{Username: "ada", Email: "ada@example.org", Password: adasPassword}
)

func TestNew_RefusesSenselessConfig(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]account.Config{
		"primary":      {Primary: "robot"},
		"negative ttl": {TokenTTL: -time.Second},
		"free hashes":  {Cost: account.Cost{MemoryKiB: 64, Passes: 0, Lanes: 1}},
		"huge hashes":  {Cost: account.Cost{MemoryKiB: 1 << 30, Passes: 1, Lanes: 1}},
		"thin lanes":   {Cost: account.Cost{MemoryKiB: 8, Passes: 1, Lanes: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := account.New(nil, time.Now, config)
			wantKind(t, err, fault.Invalid)
		})
	}
}

func TestCreateUser_GivesATokenThatIsGood(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{})
	u, token, err := h.CreateUser(t.Context(), ada)
	noError(t, err)
	if !strings.HasPrefix(token.Reveal(), "fht_") || len(token.Reveal()) != 47 {
		t.Errorf("token %q has another form", token.Reveal())
	}
	actor, err := h.Authenticate(t.Context(), token)
	noError(t, err)
	if want := (account.Actor{User: u.ID, Owner: account.Owner(u.ID)}); actor != want {
		t.Errorf("got %v, want %v", actor, want)
	}
	me, err := h.User(t.Context(), actor)
	noError(t, err)
	if me.Username != "ada" || me.Email != "ada@example.org" || me.Kind != account.Individual {
		t.Errorf("got %+v", me)
	}
	if me.CreatedAt.Location() != time.UTC || !me.CreatedAt.Equal(h.clock.now().Truncate(time.Microsecond)) {
		t.Errorf("created at %v, want %v in UTC and microseconds", me.CreatedAt, h.clock.now())
	}
}

func TestCreateUser_RefusesBadNamesAndPasswords(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{})
	text := func(n int) secret.Text { return secret.NewText(strings.Repeat("x", n)) }
	for name, c := range map[string]struct {
		in   account.NewUser
		want string
	}{
		"no name":           {account.NewUser{Username: " \t", Password: adasPassword}, "username must have 1 to 254 bytes"},
		"long name":         {account.NewUser{Username: strings.Repeat("n", 255), Password: adasPassword}, "username must have 1 to 254 bytes"},
		"NUL in name":       {account.NewUser{Username: "a\x00b", Password: adasPassword}, "no control characters"},
		"bad UTF-8 in name": {account.NewUser{Username: "a\xff", Password: adasPassword}, "no control characters"},
		"email":             {account.NewUser{Username: "eve", Email: "nobody", Password: adasPassword}, "not an email"},
		"no password":       {account.NewUser{Username: "eve"}, "8 to 1024 bytes"},
		"short password":    {account.NewUser{Username: "eve", Password: text(7)}, "8 to 1024 bytes"},
		"long password":     {account.NewUser{Username: "eve", Password: text(1025)}, "8 to 1024 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := h.CreateUser(t.Context(), c.in)
			wantKind(t, err, fault.Invalid)
			if !strings.Contains(fault.PublicMessage(err), c.want) {
				t.Errorf("%q does not say %q", fault.PublicMessage(err), c.want)
			}
		})
	}
	for _, n := range []int{8, 1024} {
		_, _, err := h.CreateUser(t.Context(), account.NewUser{Username: fmt.Sprint(n), Password: text(n)})
		noError(t, err)
	}
}

func TestCreateUser_RefusesATakenNameAlsoWithSpacesAround(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{})
	_, _, err := h.CreateUser(t.Context(), ada)
	noError(t, err)
	_, _, err = h.CreateUser(t.Context(), account.NewUser{Username: " ada ", Password: adasPassword})
	wantKind(t, err, fault.Conflict)
}

func TestCreateUser_MakesAnOrganizationIfThoseOwn(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{Primary: account.Organization})
	u, token, err := h.CreateUser(t.Context(), ada)
	noError(t, err)
	actor, err := h.Authenticate(t.Context(), token)
	noError(t, err)
	if actor.User != u.ID || actor.Owner != account.Owner(u.Organization) || actor.Owner == "" {
		t.Errorf("got %v for %+v", actor, u)
	}
}

func TestLogin_RefusesAllWithOneText(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{CreateAppUsers: true})
	_, _, err := h.CreateUser(t.Context(), ada)
	noError(t, err)
	_, err = h.Backend(t.Context(), "app-1", "")
	noError(t, err)
	for name, c := range map[string]struct{ username, password string }{
		"wrong password":     {"ada", "correct horse"},
		"no password":        {"ada", ""},
		"too long":           {"ada", strings.Repeat("x", 1<<20)},
		"unknown user":       {"eve", adasPassword.Reveal()},
		"other case":         {"Ada", adasPassword.Reveal()},
		"no name":            {"", adasPassword.Reveal()},
		"NUL in name":        {"ada\x00", adasPassword.Reveal()},
		"without a password": {"app-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, token, err := h.Login(t.Context(), c.username, secret.NewText(c.password))
			wantKind(t, err, fault.Unauthorized)
			if msg := fault.PublicMessage(err); msg != "incorrect username or password" {
				t.Errorf("got %q", msg)
			}
			if !token.IsZero() {
				t.Error("there is a token")
			}
		})
	}
	_, _, err = h.Login(t.Context(), " ada", adasPassword)
	noError(t, err)
}

func TestLogin_UpgradesAHashOfAnotherCost(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{})
	u, _, err := h.CreateUser(t.Context(), ada)
	noError(t, err)
	dearer := buildOn(t, h.db, account.Config{Cost: account.Cost{MemoryKiB: 128, Passes: 2, Lanes: 1}})
	for range 2 { // the second verifies what the first has written
		_, token, err := dearer.Login(t.Context(), "ada", adasPassword)
		noError(t, err)
		_, err = dearer.Authenticate(t.Context(), token)
		noError(t, err)
		kept, err := h.db.UserByID(t.Context(), u.ID)
		noError(t, err)
		if !strings.HasPrefix(kept.PasswordHash.Reveal(), "$argon2id$v=19$m=128,t=2,p=1$") {
			t.Errorf("hash is %q", kept.PasswordHash.Reveal())
		}
	}
}

func TestAuthenticate_RefusesAllButAGoodToken(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{TokenTTL: time.Minute})
	_, token, err := h.CreateUser(t.Context(), ada)
	noError(t, err)
	text := token.Reveal()
	for name, bad := range map[string]string{
		"empty":        "",
		"prefix only":  "fht_",
		"no prefix":    text[4:],
		"other prefix": "xht_" + text[4:],
		"truncated":    text[:len(text)-1],
		"longer":       text + "A",
		"unknown":      "fht_" + strings.Repeat("A", 43),
		"huge":         strings.Repeat("A", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			actor, err := h.Authenticate(t.Context(), secret.NewText(bad))
			wantKind(t, err, fault.Unauthorized)
			if actor.Valid() == nil {
				t.Errorf("got %v", actor)
			}
		})
	}
	h.clock.advance(time.Minute - 901) // the clock began 900 ns after a whole microsecond
	_, err = h.Authenticate(t.Context(), token)
	noError(t, err)
	h.clock.advance(1)
	_, err = h.Authenticate(t.Context(), token)
	wantKind(t, err, fault.Unauthorized)
}

func TestAuthenticate_RefusesTheTokenOfADeletedUser(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{})
	u, token, err := h.CreateUser(t.Context(), ada)
	noError(t, err)
	noError(t, h.DeleteUser(t.Context(), u.ID))
	_, err = h.Authenticate(t.Context(), token)
	wantKind(t, err, fault.Unauthorized)
	wantKind(t, h.DeleteUser(t.Context(), u.ID), fault.NotFound)
}

func TestLogout_EndsOneTokenAndRevokeAll(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{})
	_, first, err := h.CreateUser(t.Context(), ada)
	noError(t, err)
	var rest []secret.Text
	for range 2 {
		_, token, err := h.Login(t.Context(), "ada", adasPassword)
		noError(t, err)
		rest = append(rest, token)
	}
	for range 2 {
		noError(t, h.Logout(t.Context(), first))
	}
	noError(t, h.Logout(t.Context(), secret.NewText("nonsense")))
	_, err = h.Authenticate(t.Context(), first)
	wantKind(t, err, fault.Unauthorized)
	actor, err := h.Authenticate(t.Context(), rest[0])
	noError(t, err)
	noError(t, h.Revoke(t.Context(), actor))
	for _, token := range rest {
		_, err = h.Authenticate(t.Context(), token)
		wantKind(t, err, fault.Unauthorized)
	}
}

func TestPurgeExpired_LeavesGoodTokens(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{TokenTTL: time.Hour})
	_, old, err := h.CreateUser(t.Context(), ada)
	noError(t, err)
	h.clock.advance(time.Hour)
	_, fresh, err := h.Login(t.Context(), "ada", adasPassword)
	noError(t, err)
	for _, want := range []int{1, 0} {
		n, err := h.PurgeExpired(t.Context())
		noError(t, err)
		if n != want {
			t.Errorf("removed %d, want %d", n, want)
		}
	}
	_, err = h.Authenticate(t.Context(), fresh)
	noError(t, err)
	_, err = h.Authenticate(t.Context(), old)
	wantKind(t, err, fault.Unauthorized)
}

func TestZeroActorMayDoNothing(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{})
	for name, a := range map[string]account.Actor{
		"zero":     {},
		"no user":  {Owner: "usr_1"},
		"no owner": {User: "usr_1"},
	} {
		t.Run(name, func(t *testing.T) {
			wantKind(t, a.Valid(), fault.Unauthorized)
			_, err := h.User(t.Context(), a)
			wantKind(t, err, fault.Unauthorized)
			wantKind(t, h.Revoke(t.Context(), a), fault.Unauthorized)
		})
	}
	wantKind(t, account.Owner("").Valid(), fault.Unauthorized)
}

// brokenStore fails every call.
type brokenStore struct{ account.Store }

var errDisk = fault.New(fault.Unavailable, "store.Any", "the disk is full").With(errors.New("disk"))

func (brokenStore) UserByUsername(context.Context, string) (*account.User, error) {
	return nil, errDisk
}

func (brokenStore) UserByAppUserID(context.Context, string) (*account.User, error) {
	return nil, errDisk
}

func (brokenStore) UserByAppOrgID(context.Context, string) (*account.User, error) {
	return nil, errDisk
}

func (brokenStore) TokenByHash(context.Context, account.TokenHash) (*account.Token, *account.User, error) {
	return nil, nil, errDisk
}

func (brokenStore) DeleteExpiredTokens(context.Context, time.Time, int) (int, error) {
	return 0, errDisk
}

// A full disk must not look like a wrong password: clients would throw their tokens away.
func TestStoreFailureIsNotUnauthorized(t *testing.T) {
	t.Parallel()
	s, err := account.New(brokenStore{}, time.Now, account.Config{Cost: cheap})
	noError(t, err)
	for name, call := range map[string]func() error{
		"Login": func() error { _, _, err := s.Login(t.Context(), "ada", adasPassword); return err },
		"Authenticate": func() error {
			_, err := s.Authenticate(t.Context(), secret.NewText("fht_"+strings.Repeat("A", 43)))
			return err
		},
		"Backend":      func() error { _, err := s.Backend(t.Context(), "u", ""); return err },
		"Backend org":  func() error { _, err := s.Backend(t.Context(), "", "o"); return err },
		"PurgeExpired": func() error { _, err := s.PurgeExpired(t.Context()); return err },
	} {
		want := fault.Unavailable
		if name == "Backend org" { // refused before the store is asked
			want = fault.Invalid
		}
		t.Run(name, func(t *testing.T) { wantKind(t, call(), want) })
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if got := fault.KindOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}
