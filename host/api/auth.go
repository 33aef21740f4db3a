package api

import (
	"context"
	"strings"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/labstack/echo/v4"
)

// Headers with which the embedding product's own server names itself and its user.
const (
	headerBackendKey = "X-Frigg-Api-Key"
	headerAppUserID  = "X-Frigg-Appuserid"
	headerAppOrgID   = "X-Frigg-Apporgid"
	headerHealthKey  = "X-Api-Key"
)

// Accounts is what this room needs of the account room.
type Accounts interface {
	CreateUser(ctx context.Context, n account.NewUser) (*account.User, secret.Text, error)
	Login(ctx context.Context, username string, password secret.Text) (*account.User, secret.Text, error)
	Authenticate(ctx context.Context, token secret.Text) (account.Actor, error)
	Backend(ctx context.Context, appUserID, appOrgID string) (account.Actor, error)
}

// signedIn is the gate of operations that somebody does. The actor is part of the input, so that no handler can forget it.
type signedIn struct{ actor account.Actor }

func (s *signedIn) admit(a *API, c echo.Context) (err error) {
	h := c.Request().Header
	if key := h.Get(headerBackendKey); key != "" {
		if !a.isBackend(key) {
			return wrongBackendKey()
		}
		s.actor, err = a.Accounts.Backend(c.Request().Context(), h.Get(headerAppUserID), h.Get(headerAppOrgID))
		return err
	}
	token, ok := bearer(h.Values(echo.HeaderAuthorization))
	if !ok {
		return unauthorized("send the token of /user/login as Authorization: Bearer <token>")
	}
	s.actor, err = a.Accounts.Authenticate(c.Request().Context(), token)
	return err
}

func (a *API) isBackend(key string) bool {
	return !a.BackendKey.IsZero() && a.BackendKey.Equal(secret.NewText(key))
}

func wrongBackendKey() error {
	return unauthorized("the backend key is wrong, or this host was started without one")
}

func (*signedIn) security() []map[string][]string {
	return []map[string][]string{{securityBearer: {}}, {securityBackend: {}}}
}

// bearer returns the token of an Authorization header (RFC 6750, section 2.1).
func bearer(values []string) (secret.Text, bool) {
	if len(values) != 1 {
		return secret.Text{}, false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return secret.NewText(token), ok && strings.EqualFold(scheme, "bearer") && token != ""
}

// monitor is the gate of the detailed health checks.
type monitor struct{}

func (*monitor) admit(a *API, c echo.Context) error {
	if a.HealthKey.IsZero() {
		return unauthorized("the detailed health checks are closed: start the host with a health key and send it as x-api-key")
	}
	if !a.HealthKey.Equal(secret.NewText(c.Request().Header.Get(headerHealthKey))) {
		return unauthorized("send the health key as x-api-key")
	}
	return nil
}

func (*monitor) security() []map[string][]string {
	return []map[string][]string{{securityHealth: {}}}
}

func unauthorized(text string) error { return fault.New(fault.Unauthorized, "api.admit", "%s", text) }
