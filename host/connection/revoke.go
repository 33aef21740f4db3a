package connection

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

const revokeTimeout = 10 * time.Second

// DeauthorizeEntity disconnects an account: it deletes the entity with what its module has stored, and its credential if no
// other entity needs it, and then takes the access back at the vendor as far as that can be done. Errors: NotFound; Conflict
// while an integration uses the account.
func (s *Service) DeauthorizeEntity(ctx context.Context, a account.Actor, id EntityID) error {
	if err := a.Valid(); err != nil {
		return err
	}
	last, err := s.store.RemoveEntity(ctx, a.Owner, id, s.now())
	if err != nil {
		return err
	}
	s.revoke(ctx, last)
	return nil
}

// DeauthorizeCredential disconnects all accounts that a credential opens. Errors as DeauthorizeEntity.
func (s *Service) DeauthorizeCredential(ctx context.Context, a account.Actor, id CredentialID) error {
	if err := a.Valid(); err != nil {
		return err
	}
	gone, err := s.store.RemoveCredential(ctx, a.Owner, id, s.now())
	if err != nil {
		return err
	}
	s.revoke(ctx, gone)
	return nil
}

// revoke tells the vendor that a removed credential is not needed any more. It is gone here in any case.
func (s *Service) revoke(ctx context.Context, gone *Credential) {
	if gone == nil {
		return
	}
	c, err := s.open(ctx, gone)
	if err == nil {
		err = c.revoke(ctx)
	}
	if err != nil {
		s.log.WarnContext(ctx, "the vendor was not told that a credential is not needed any more", "op", "connection.Revoke",
			"owner", string(gone.Owner), "plugin", gone.Module, "err", err)
	}
}

// discard takes back tokens that nobody can store.
func (s *Service) discard(ctx context.Context, c *conn, g *grant) {
	orphan := *c
	orphan.take(c.values.with(g.values))
	if err := orphan.revoke(ctx); err != nil {
		s.log.WarnContext(ctx, "new tokens were not taken back", "op", "connection.Revoke", "owner", string(c.owner), "plugin", c.m.Name, "err", err)
	}
}

// revoke asks the vendor to end the tokens (RFC 7009). It goes on when ctx ends.
func (c *conn) revoke(ctx context.Context) error {
	if c.m.auth.Kind != abi.AuthKindOAuth2 || c.m.auth.OAuth2.RevokeURL == "" {
		return nil
	}
	fields := map[string]string{"token_type_hint": refreshToken}
	token := c.values.token(refreshToken)
	if token.IsZero() {
		fields["token_type_hint"], token = accessToken, c.values.token(accessToken)
	}
	if token.IsZero() {
		return nil
	}
	out, err := c.revocation(fields, token)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	res, _, err := c.exchange(ctx, out)
	if err != nil {
		return err
	}
	if res.Status >= 300 {
		return fault.New(fault.Unavailable, "connection.Revoke", "%s answers %s", c.m.name, statusText(res.Status)).On(fault.Remote)
	}
	return nil
}

func (c *conn) revocation(fields map[string]string, token secret.Text) (*outgoing, error) {
	o, f := c.m.auth.OAuth2, c.fill()
	fields["token"] = f.handles.Issue(token)
	client, err := f.client(fields)
	if err != nil {
		return nil, err
	}
	address, err := f.url(o.RevokeURL)
	if err != nil {
		return nil, err
	}
	headers, err := f.texts(o.TokenHeaders)
	if err != nil {
		return nil, err
	}
	out := f.tokenOutgoing("POST", address, headers)
	out.client, out.timeout = client, revokeTimeout
	out.setBody(formBody(pairs(fields)))
	return out, nil
}
