package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"golang.org/x/crypto/argon2"
)

// Limits of a password in bytes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

// Cost is the work of one password hash with argon2id (RFC 9106).
type Cost struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// DefaultCost is the least that OWASP recommends: about 50 ms of one core.
var DefaultCost = Cost{MemoryKiB: 19 * 1024, Passes: 2, Lanes: 1}

const (
	saltBytes = 16
	hashBytes = 32
	// hashers is how many hashes are computed at once: hashing is the cheapest way to exhaust a small host.
	hashers = 2
	// maxWaiting is how many callers may wait for a hasher, about two seconds at the default cost.
	maxWaiting = 64
)

// passwords hashes and verifies.
type passwords struct {
	cost    Cost
	turns   chan struct{}
	waiting atomic.Int64
	// decoy is the hash of nothing anybody knows. It is verified when there is no user, so that this takes as long.
	decoy secret.Text
	// derive is argon2.IDKey.
	derive func(password, salt []byte, passes, memoryKiB uint32, lanes uint8, n uint32) []byte
}

func newPasswords(cost Cost) *passwords {
	salt, hash := randomBytes(saltBytes), randomBytes(hashBytes)
	return &passwords{cost: cost, turns: make(chan struct{}, hashers), decoy: phc{cost, salt, hash}.text(), derive: argon2.IDKey}
}

// hash returns the PHC string of password with a new salt.
func (p *passwords) hash(ctx context.Context, password secret.Text) (secret.Text, error) {
	h := phc{cost: p.cost, salt: randomBytes(saltBytes)}
	var err error
	h.hash, err = p.work(ctx, password, h, hashBytes)
	if err != nil {
		return secret.Text{}, err
	}
	return h.text(), nil
}

// verify reports whether password is the one that kept was made of, and whether kept should be replaced because its cost
// is not today's.
func (p *passwords) verify(ctx context.Context, kept, password secret.Text) (ok, outdated bool, err error) {
	h, err := parsePHC(kept)
	if err != nil {
		return false, false, fault.New(fault.Internal, "account.Verify", "a password hash in the database is damaged").With(err)
	}
	if len(password.Reveal()) > MaxPassword {
		password = secret.Text{} // wrong in any case: no password is empty
	}
	got, err := p.work(ctx, password, h, len(h.hash))
	if err != nil {
		return false, false, err
	}
	return subtle.ConstantTimeCompare(got, h.hash) == 1, h.cost != p.cost, nil
}

// work computes one hash when it is its turn.
func (p *passwords) work(ctx context.Context, password secret.Text, h phc, n int) ([]byte, error) {
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > maxWaiting+hashers {
		busy := fault.New(fault.RateLimited, "account.Hash", "too many logins at the same time; try again in a moment")
		busy.RetryAfter = time.Second
		return nil, busy
	}
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return nil, fault.Wrap(ctx.Err(), fault.Canceled, "account.Hash", "the caller left")
	}
	return p.derive([]byte(password.Reveal()), h.salt, h.cost.Passes, h.cost.MemoryKiB, h.cost.Lanes, uint32(n)), nil
}

// phc is a hash with all that it takes to compute it again, written as a PHC string:
// $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>.
type phc struct {
	cost       Cost
	salt, hash []byte
}

func (h phc) text() secret.Text {
	b64 := base64.RawStdEncoding.EncodeToString
	return secret.NewText(fmt.Sprintf("$argon2id$v=%d$%s$%s$%s", argon2.Version, h.cost, b64(h.salt), b64(h.hash)))
}

// String is the cost as it stands in a PHC string.
func (c Cost) String() string { return fmt.Sprintf("m=%d,t=%d,p=%d", c.MemoryKiB, c.Passes, c.Lanes) }

// The bounds of what is computed on behalf of a row of the database.
var (
	leastCost = Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}
	mostCost  = Cost{MemoryKiB: 256 * 1024, Passes: 32, Lanes: 32}
)

func (c Cost) valid() bool {
	return c.MemoryKiB >= max(leastCost.MemoryKiB, 8*uint32(c.Lanes)) && c.MemoryKiB <= mostCost.MemoryKiB &&
		c.Passes >= leastCost.Passes && c.Passes <= mostCost.Passes && c.Lanes >= leastCost.Lanes && c.Lanes <= mostCost.Lanes
}

// parsePHC reads what text wrote. Its errors quote nothing.
func parsePHC(text secret.Text) (phc, error) {
	parts := strings.Split(text.Reveal(), "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errors.New("not a PHC string of argon2id")
	}
	var h phc
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.cost.MemoryKiB, &h.cost.Passes, &h.cost.Lanes); err != nil ||
		h.cost.String() != parts[3] || !h.cost.valid() {
		return phc{}, errors.New("bad cost")
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return phc{}, errors.New("bad salt")
	}
	if h.hash, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(h.hash) < 16 || len(h.hash) > 64 {
		return phc{}, errors.New("bad hash")
	}
	return h, nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: the process ends instead
	return b
}
