package connection

import (
	"context"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
)

// personWaits bounds what somebody waits for in front of a screen.
const personWaits = abi.LimitSyncTimeoutMS * time.Millisecond

// TestEntity asks the vendor whether the entity's credential is good, and keeps what it learns: a refused credential becomes
// Invalid, one that is accepted again becomes OK. Errors: NotFound; Unsupported when the module has no test.
func (s *Service) TestEntity(ctx context.Context, a account.Actor, id EntityID) (abi.TestAuthOutput, error) {
	if err := a.Valid(); err != nil {
		return abi.TestAuthOutput{}, err
	}
	e, cred, err := s.store.Connection(ctx, a.Owner, id)
	if err != nil {
		return abi.TestAuthOutput{}, err
	}
	c, err := s.open(ctx, cred)
	if err != nil {
		return abi.TestAuthOutput{}, err
	}
	c.entity = e
	if cred.Status == OK {
		if err := c.ready(ctx); err != nil {
			return c.outcome(abi.TestAuthOutput{}, err)
		}
	}
	out, err := c.probe(ctx)
	if err != nil {
		return out, err
	}
	return out, c.learn(ctx, out.Outcome)
}

// learn keeps the outcome of a test.
func (c *conn) learn(ctx context.Context, found abi.AuthOutcome) error {
	current, err := c.s.store.CredentialByID(ctx, c.owner, c.cred.ID)
	if err != nil {
		return err
	}
	switch {
	case found == abi.AuthOutcomeInvalid && current.Status == OK:
		_, err = c.s.store.InvalidateCredential(ctx, current, "", c.s.now())
	case found == abi.AuthOutcomeOk && current.Status == Invalid:
		var restored bool
		if restored, err = c.s.store.RestoreCredential(ctx, current, c.s.now()); restored && c.entity != nil {
			c.s.tell(ctx, []*Entity{c.entity}) // what waited for it goes on
		}
	}
	return err
}

// probe asks the vendor whether it takes the credential.
func (c *conn) probe(ctx context.Context) (abi.TestAuthOutput, error) {
	switch t := c.m.auth.Test; {
	case t != nil:
		return c.probeByData(ctx, &t.Request, t.InvalidWhen)
	case c.m.Has(abi.ExportTestAuth):
		out, err := guestCall[abi.TestAuthOutput](ctx, c, abi.ExportTestAuth, abi.TestAuthInput{Connection: c.describe()}, CallOptions{Timeout: personWaits})
		if err == nil && !out.Outcome.Valid() {
			err = fault.New(fault.Internal, "connection.Test", "module %s answers a test with an unknown outcome", c.m.Name).On(fault.Guest)
		}
		return c.outcome(out, err)
	case c.m.auth.Identify != nil && c.m.auth.Identify.Request != nil:
		return c.probeByData(ctx, c.m.auth.Identify.Request, nil)
	case c.m.auth.Kind == abi.AuthKindNone:
		return abi.TestAuthOutput{Outcome: abi.AuthOutcomeOk}, nil
	}
	return abi.TestAuthOutput{}, fault.New(fault.Unsupported, "connection.Test", "module %s has no test", c.m.Name)
}

// outcome reads a fault on the way to the vendor as what it says of the credential.
func (c *conn) outcome(out abi.TestAuthOutput, err error) (abi.TestAuthOutput, error) {
	if err == nil || fault.SideOf(err) != fault.Remote {
		return out, err
	}
	switch fault.KindOf(err) {
	case fault.Unauthorized, fault.Forbidden:
		return abi.TestAuthOutput{Outcome: abi.AuthOutcomeInvalid, Message: fault.PublicMessage(err)}, nil
	}
	return abi.TestAuthOutput{Outcome: abi.AuthOutcomeUnavailable, Message: fault.PublicMessage(err)}, nil
}

func (c *conn) probeByData(ctx context.Context, r *abi.RequestTemplate, invalid []abi.Predicate) (abi.TestAuthOutput, error) {
	out, err := c.templated(r)
	if err != nil {
		return abi.TestAuthOutput{}, err
	}
	res, verdict, err := c.exchange(ctx, out)
	if err != nil {
		return c.outcome(abi.TestAuthOutput{}, err)
	}
	doc := lazyJSON(res.Body)
	refused := slices.ContainsFunc(invalid, func(p abi.Predicate) bool { return matches(&p, res, doc) })
	switch {
	case refused, verdict != nil && (verdict.Kind == fault.Unauthorized || verdict.Kind == fault.Forbidden):
		msg := c.m.name + " does not accept the credential (" + statusText(res.Status) + ")"
		return abi.TestAuthOutput{Outcome: abi.AuthOutcomeInvalid, Message: msg}, nil
	case verdict == nil && res.Status < 300:
		return abi.TestAuthOutput{Outcome: abi.AuthOutcomeOk}, nil
	}
	return abi.TestAuthOutput{Outcome: abi.AuthOutcomeUnavailable, Message: c.m.name + " answers " + statusText(res.Status)}, nil
}
