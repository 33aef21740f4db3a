package demo

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

// clients are the applications that may ask for access. They are registered at each start and not kept in the data file;
// what was granted to an id is.
type clients struct {
	mu   sync.RWMutex
	byID map[string]client
}

type client struct {
	id, secret   string
	redirectURIs []string
}

// AddClient registers an application, or replaces the one with this id. Redirect URIs are absolute, without a fragment, and
// compared character by character. The id is also the name that people read at the consent page.
func (c *CRM) AddClient(id, secret string, redirectURIs ...string) error {
	if id == "" || secret == "" || len(redirectURIs) == 0 {
		return errors.New("demo: a client needs an id, a secret and at least one redirect URI")
	}
	for _, raw := range redirectURIs {
		if u, err := url.Parse(raw); err != nil || !u.IsAbs() || u.Host == "" || u.Fragment != "" {
			return fmt.Errorf("demo: redirect URI %q is not an absolute address without a fragment", raw)
		}
	}
	c.clients.mu.Lock()
	defer c.clients.mu.Unlock()
	if c.clients.byID == nil {
		c.clients.byID = map[string]client{}
	}
	c.clients.byID[id] = client{id: id, secret: secret, redirectURIs: slices.Clone(redirectURIs)}
	return nil
}

func (c *clients) find(id string) (client, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, ok := c.byID[id]
	return found, ok
}

// authenticate reads client_secret_basic, whose two parts are form-encoded (RFC 6749, section 2.3.1), or client_secret_post.
func (c *clients) authenticate(r *http.Request) (client, *oauthError) {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		user, errUser := url.QueryUnescape(user)
		password, errPassword := url.QueryUnescape(password)
		switch {
		case errUser != nil || errPassword != nil:
			return client{}, unknownClient
		case secret != "" || id != "" && id != user:
			return client{}, oauthProblem("invalid_request", "The client authenticates in two ways at once.")
		}
		id, secret = user, password
	}
	found, ok := c.find(id)
	if !ok || subtle.ConstantTimeCompare([]byte(secret), []byte(found.secret)) != 1 {
		return client{}, unknownClient
	}
	return found, nil
}
