package account

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"golang.org/x/crypto/argon2"
)

var tiny = Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}

// oneUser is a Store with one user, who can log in with the password "password".
type oneUser struct {
	Store
	user *User
}

func (s oneUser) UserByUsername(_ context.Context, name string) (*User, error) {
	if name != s.user.Username {
		return nil, fault.New(fault.NotFound, "test", "no such user")
	}
	return s.user, nil
}

// The time of a login is that of its argon2 work; everything else is a thousand times less.
func TestLogin_DoesTheSameWorkWhetherOrNotTheUserExists(t *testing.T) {
	t.Parallel()
	s, err := New(nil, time.Now, Config{Cost: tiny})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := s.passwords.hash(t.Context(), secret.NewText("password"))
	if err != nil {
		t.Fatal(err)
	}
	type work struct {
		salt                int
		passes, memory, out uint32
		lanes               uint8
	}
	var done []work
	s.passwords.derive = func(password, salt []byte, passes, memory uint32, lanes uint8, n uint32) []byte {
		done = append(done, work{len(salt), passes, memory, n, lanes})
		return argon2.IDKey(password, salt, passes, memory, lanes, n)
	}
	nameless := &User{ID: NewID(), Username: "ada"} // has no password
	for name, c := range map[string]struct {
		user               *User
		username, password string
	}{
		"wrong password": {&User{ID: NewID(), Username: "ada", PasswordHash: hash}, "ada", "passwort"},
		"unknown user":   {&User{ID: NewID(), Username: "ada", PasswordHash: hash}, "eve", "password"},
		"malformed name": {&User{ID: NewID(), Username: "ada", PasswordHash: hash}, "", "password"},
		"too long":       {&User{ID: NewID(), Username: "ada", PasswordHash: hash}, "ada", strings.Repeat("x", MaxPassword+1)},
		"no password":    {nameless, "ada", "password"},
	} {
		done = nil
		s.store = oneUser{user: c.user}
		if _, _, err := s.Login(t.Context(), c.username, secret.NewText(c.password)); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("%s: got %v", name, err)
		}
		want := work{saltBytes, tiny.Passes, tiny.MemoryKiB, hashBytes, tiny.Lanes}
		if len(done) != 1 || done[0] != want {
			t.Errorf("%s: work is %v, want one %v", name, done, want)
		}
	}
}

func TestHash_RunsTwoAtOnceAndTurnsTheCrowdAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPasswords(tiny)
		running, most := 0, 0
		var mu sync.Mutex
		finish := make(chan struct{})
		p.derive = func([]byte, []byte, uint32, uint32, uint8, uint32) []byte {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-finish
			mu.Lock()
			running--
			mu.Unlock()
			return make([]byte, hashBytes)
		}
		var all sync.WaitGroup
		for range hashers + maxWaiting {
			all.Go(func() {
				if _, err := p.hash(t.Context(), secret.NewText("x")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		_, err := p.hash(t.Context(), secret.NewText("one too many"))
		if !fault.Is(err, fault.RateLimited) || fault.RetryAfterOf(err) == 0 {
			t.Errorf("got %v", err)
		}
		close(finish)
		all.Wait()
		if most != hashers {
			t.Errorf("%d ran at once, want %d", most, hashers)
		}
	})
}

func TestHash_WaitingEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	p := newPasswords(tiny)
	for range hashers {
		p.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.hash(ctx, secret.NewText("x")); !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := p.waiting.Load(); n != 0 {
		t.Errorf("%d are counted as waiting", n)
	}
}

func TestHash_NeverRepeatsAndVerifiesOnlyItself(t *testing.T) {
	t.Parallel()
	p := newPasswords(tiny)
	a, _ := p.hash(t.Context(), secret.NewText("same"))
	b, err := p.hash(t.Context(), secret.NewText("same"))
	if err != nil || a.Equal(b) {
		t.Errorf("twice %q (%v)", a.Reveal(), err)
	}
	for password, want := range map[string]bool{"same": true, "Same": false, "": false} {
		ok, outdated, err := p.verify(t.Context(), a, secret.NewText(password))
		if ok != want || outdated || err != nil {
			t.Errorf("%q: got %v, %v, %v", password, ok, outdated, err)
		}
	}
}

// The vector is one of test.c in the reference implementation (phc-winner-argon2).
func TestVerify_AgreesWithTheReferenceImplementation(t *testing.T) {
	t.Parallel()
	const kept = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	ok, outdated, err := newPasswords(tiny).verify(t.Context(), secret.NewText(kept), secret.NewText("password"))
	if !ok || !outdated || err != nil {
		t.Errorf("got %v, %v, %v", ok, outdated, err)
	}
}

func TestParsePHC_RefusesWhatItWouldNotWrite(t *testing.T) {
	t.Parallel()
	const good = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if _, err := parsePHC(secret.NewText(good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"empty":          {good, ""},
		"argon2i":        {"argon2id", "argon2i"},
		"version":        {"v=19", "v=16"},
		"memory bomb":    {"m=64", "m=4294967295"},
		"time bomb":      {"t=1", "t=4294967295"},
		"no passes":      {"t=1", "t=0"},
		"no lanes":       {"p=1", "p=0"},
		"too many lanes": {"p=1", "p=256"},
		"spaces":         {"m=64", "m= 64"},
		"sign":           {"m=64", "m=+64"},
		"more costs":     {"p=1", "p=1,x=1"},
		"more parts":     {"p=1", "p=1$"},
		"short salt":     {"c29tZXNhbHQ", "c29tZQ"},
		"padded salt":    {"c29tZXNhbHQ", "c29tZXNhbHQ="},
		"short hash":     {"CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "CTFh"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, change[0], change[1], 1)
			if h, err := parsePHC(secret.NewText(text)); err == nil {
				t.Errorf("%q is read as %+v", text, h)
			}
			_, _, err := newPasswords(tiny).verify(t.Context(), secret.NewText(text), secret.NewText("x"))
			if !fault.Is(err, fault.Internal) || (len(text) > 0 && strings.Contains(err.Error(), text)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=,t=,p=$$")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePHC(secret.NewText(text))
		if err == nil && h.text().Reveal() != text {
			t.Errorf("%q is read as %q", text, h.text().Reveal())
		}
	})
}

func FuzzHashToken(f *testing.F) {
	_, text := newToken(NewID(), time.Now(), time.Hour)
	f.Add(text.Reveal())
	f.Fuzz(func(t *testing.T, token string) {
		if _, ok := hashToken(secret.NewText(token)); ok && len(token) != 47 {
			t.Errorf("%q could be ours", token)
		}
	})
}
