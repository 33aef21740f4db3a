package connection

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/frigg-host/frigg-host/host/fault"
)

const (
	// askTimeout bounds asking the vendor, waits and repetitions included, and flightTimeout a whole renewal: there is time
	// left to store an answer. The lease outlives both, so that nobody else begins while the vendor may still answer.
	askTimeout    = 35 * time.Second
	flightTimeout = 55 * time.Second
	leaseDuration = time.Minute
	// coolDown is how long nobody tries again after a renewal failed.
	coolDown = 15 * time.Second
	// refusedPause is how soon after a renewal that a refusal had caused another refusal can cause one.
	refusedPause = 30 * time.Second
	// The wait for another worker's renewal: its first and its longest pause, and its end.
	pollFirst   = 25 * time.Millisecond
	pollLongest = 400 * time.Millisecond
	pollLimit   = 20 * time.Second
)

// flight is a renewal under way in this process. All who need it wait for the same one.
type flight struct {
	done chan struct{}
	err  error
}

// authoriseAgain is the fault of a credential that is no good any more.
func (m *module) authoriseAgain() *fault.Error {
	return &fault.Error{
		Kind: fault.Unauthorized, Side: fault.Remote, Op: "connection.Renew",
		Msg: m.name + " does not accept this connection any more; authorise the account again",
	}
}

// ready sees to a credential that is worth sending: it is renewed when that is due.
func (c *conn) ready(ctx context.Context) error {
	now := c.s.now()
	switch {
	case c.cred.Status == Invalid:
		return c.m.authoriseAgain()
	case !c.cred.due(now) || !c.m.renewable(c.values):
		return nil
	case now.Before(c.cred.RetryAt) && !c.cred.expired(now):
		return nil // a renewal has just failed, and the token is good for a little longer
	case now.Before(c.cred.RetryAt):
		return c.m.notRenewed(c.cred.RetryAt.Sub(now))
	}
	err := c.s.renewed(ctx, c.m, c.cred, false)
	if err != nil {
		if fault.Retryable(err) && !c.cred.expired(c.s.now()) {
			return nil
		}
		return err
	}
	return c.reload(ctx)
}

// renew sees to another credential than the one that the vendor has just refused. False means that there is none.
func (c *conn) renew(ctx context.Context) (bool, error) {
	if c.cred == nil || !c.m.renewable(c.values) {
		return false, nil
	}
	refused := c.cred.Version
	if err := c.reload(ctx); err != nil {
		return false, err
	}
	if c.cred.Version != refused {
		return true, nil // another worker was faster
	}
	if c.s.now().Sub(c.cred.RefusedAt) < refusedPause {
		return false, nil // the vendor refuses fresh tokens too: more of them do not help
	}
	if err := c.s.renewed(ctx, c.m, c.cred, true); err != nil {
		return false, err
	}
	return true, c.reload(ctx)
}

// reload takes the credential as it is stored now.
func (c *conn) reload(ctx context.Context) error {
	cred, err := c.s.store.CredentialByID(ctx, c.owner, c.cred.ID)
	if err != nil {
		return err
	}
	if cred.Status == Invalid {
		return c.m.authoriseAgain()
	}
	v, err := c.s.unseal(ctx, cred)
	if err != nil {
		return err
	}
	c.cred = cred
	c.take(v)
	return nil
}

// renewed returns nil once cred is stored in another version than this one. refused says that the vendor has refused it.
// The renewal goes on when ctx ends: a spent refresh token whose answer is not stored is lost.
func (s *Service) renewed(ctx context.Context, m *module, cred *Credential, refused bool) error {
	f, err := s.join(ctx, m, cred, refused)
	if err != nil {
		return err
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Canceled, "connection.Renew", "the token was still being renewed")
	}
}

// join returns the renewal under way, or begins it.
func (s *Service) join(ctx context.Context, m *module, cred *Credential, refused bool) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fault.New(fault.Unavailable, "connection.Renew", "the host is shutting down")
	}
	if f := s.flights[cred.ID]; f != nil {
		return f, nil
	}
	f := &flight{done: make(chan struct{})}
	s.flights[cred.ID] = f
	s.flying.Add(1)
	go func() {
		defer s.flying.Done()
		defer s.land(cred.ID, f)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTimeout)
		defer cancel()
		f.err = s.renewOnce(ctx, m, cred, refused)
	}()
	return f, nil
}

// land tells everybody who waits. A panic ends with one renewal and not with the host.
func (s *Service) land(id CredentialID, f *flight) {
	if p := recover(); p != nil {
		f.err = fault.New(fault.Internal, "connection.Renew", "renewing panicked").With(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}
	s.mu.Lock()
	delete(s.flights, id)
	s.mu.Unlock()
	close(f.done)
}

// renewOnce renews cred, or waits until another process that shares the database has done so.
func (s *Service) renewOnce(ctx context.Context, m *module, cred *Credential, refused bool) error {
	for pause, waited := pollFirst, time.Duration(0); ; pause = min(2*pause, pollLongest) {
		lease := Lease{Holder: uuid.NewString(), Until: s.now().Add(leaseDuration)}
		leased, err := s.store.LeaseCredential(ctx, cred, lease, s.now())
		if err != nil {
			return err
		}
		if leased != nil {
			return s.spend(ctx, m, leased, lease.Holder, refused)
		}
		current, err := s.store.CredentialByID(ctx, cred.Owner, cred.ID)
		if err != nil {
			return err
		}
		switch now := s.now(); {
		case current.Status == Invalid:
			return m.authoriseAgain()
		case current.Version != cred.Version:
			return nil
		case now.Before(current.RetryAt):
			return m.notRenewed(current.RetryAt.Sub(now))
		case waited >= pollLimit:
			return m.notRenewed(coolDown)
		}
		if err := s.wait(ctx, pause); err != nil {
			return fault.Wrap(err, fault.Timeout, "connection.Renew", "another worker renews the token and has not finished")
		}
		waited += pause
	}
}

func (m *module) notRenewed(wait time.Duration) *fault.Error {
	return &fault.Error{
		Kind: fault.Unavailable, Side: fault.Remote, Op: "connection.Renew", RetryAfter: wait,
		Msg: "the token for " + m.name + " could not be renewed a moment ago; it is tried again in " + wait.Round(time.Second).String(),
	}
}

// spend asks the vendor for new tokens, in the name of the lease's holder, and stores them before anybody uses them. If the
// process dies after the vendor has answered and before that, they are lost, and where refresh tokens rotate the person must
// authorise again; the same holds for an answer that never arrives.
func (s *Service) spend(ctx context.Context, m *module, cred *Credential, holder string, refused bool) error {
	v, err := s.unseal(ctx, cred)
	if err != nil {
		return s.release(ctx, cred, holder, err)
	}
	c := s.newConn(m, cred.Owner, v)
	c.cred = cred
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	g, err := c.renewGrant(asking)
	if err != nil {
		return s.notSpent(ctx, m, cred, holder, refused, err)
	}
	return s.storeGrant(ctx, c, holder, g, refused)
}

// notSpent says what a failed renewal means for the credential.
func (s *Service) notSpent(ctx context.Context, m *module, cred *Credential, holder string, refused bool, err error) error {
	if !isDead(err) && !(refused && isRefusal(err)) {
		return s.release(ctx, cred, holder, err)
	}
	changed, failed := s.store.InvalidateCredential(ctx, cred, holder, s.now())
	if failed != nil {
		return failed
	}
	if !changed { // somebody has stored a better one meanwhile
		return nil
	}
	s.log.WarnContext(ctx, "credential invalid: the vendor refuses to renew it", "op", "connection.Renew", "owner", string(cred.Owner),
		"plugin", m.Name, "credential", string(cred.ID), "err", err)
	return m.authoriseAgain().With(err)
}

// release ends the lease and keeps everybody from trying again at once.
func (s *Service) release(ctx context.Context, cred *Credential, holder string, err error) error {
	wait := max(coolDown, min(fault.RetryAfterOf(err), time.Hour))
	if failed := s.store.ReleaseCredential(ctx, cred, holder, s.now().Add(wait)); failed != nil {
		s.log.WarnContext(ctx, "the lease of a credential was not ended and runs out by itself", "op", "connection.Renew", "err", failed)
	}
	return err
}

// storeGrant stores new tokens. A database that is busy or full for a moment must not lose them.
func (s *Service) storeGrant(ctx context.Context, c *conn, holder string, g *grant, refused bool) error {
	const tries = 6
	for i := range tries {
		stored, err := s.tryStoreGrant(ctx, c, holder, g, refused)
		if err == nil && !stored {
			s.discard(ctx, c, g)
			return fault.New(fault.Conflict, "connection.Renew", "the connection was changed or removed while its token was renewed").On(fault.Host)
		}
		if err == nil || i == tries-1 || !fault.Retryable(err) {
			return err
		}
		if err := s.wait(ctx, pollFirst<<(2*i)); err != nil {
			return fault.Wrap(err, fault.Unavailable, "connection.Renew", "the new token could not be stored")
		}
	}
	return nil
}

func (s *Service) tryStoreGrant(ctx context.Context, c *conn, holder string, g *grant, refused bool) (bool, error) {
	sealed, err := s.seal(ctx, c.cred, c.values.with(g.values))
	if err != nil {
		return false, err
	}
	r := Renewal{Sealed: sealed, ExpiresAt: g.expiresAt, RenewAt: g.renewAt, RefusedAt: c.cred.RefusedAt, At: s.now()}
	if refused {
		r.RefusedAt = r.At
	}
	return s.store.RenewCredential(ctx, c.cred, holder, r)
}
