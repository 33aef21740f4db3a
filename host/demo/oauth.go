package demo

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	ticketTTL  = 10 * time.Minute
	maxTickets = 500
)

// authorization is one request of a client that waits for the user's answer.
type authorization struct {
	client, redirectURI, state, challenge string
	scopes                                []string
	expiresAt                             time.Time
}

// tickets keep what is being asked on this side: the form carries a name that works once, so no other site can answer it.
type tickets struct {
	mu   sync.Mutex
	open map[string]authorization
}

func (t *tickets) add(name string, asked authorization) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[string]authorization{}
	}
	dropOldest(t.open, maxTickets-1, func(a authorization) time.Time { return a.expiresAt })
	t.open[name] = asked
}

func (t *tickets) take(name string, now time.Time) (authorization, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	asked, ok := t.open[name]
	delete(t.open, name)
	return asked, ok && now.Before(asked.expiresAt)
}

// metadata is RFC 8414.
func (c *CRM) metadata(w http.ResponseWriter, _ *http.Request) {
	methods := []string{"client_secret_basic", "client_secret_post"}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         c.base.String(),
		"authorization_endpoint":                         c.base.String() + "/oauth/authorize",
		"token_endpoint":                                 c.base.String() + "/oauth/token",
		"revocation_endpoint":                            c.base.String() + "/oauth/revoke",
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_methods_supported":          methods,
		"revocation_endpoint_auth_methods_supported":     methods,
		"code_challenge_methods_supported":               []string{"S256"},
		"scopes_supported":                               scopeNames(),
		"authorization_response_iss_parameter_supported": true,
	})
}

// authorize shows the consent page. Until client and redirect URI are known to belong together, errors stay here; after that
// they go back to the client (RFC 6749, section 4.1.2.1).
func (c *CRM) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	app, ok := c.clients.find(q.Get("client_id"))
	if !ok || len(q["client_id"]) > 1 {
		showRefusal(w, "The application that sent you here is not registered (client_id).")
		return
	}
	if !slices.Contains(app.redirectURIs, q.Get("redirect_uri")) || len(q["redirect_uri"]) > 1 {
		showRefusal(w, "The application that sent you here wants you back at an address that it did not register (redirect_uri).")
		return
	}
	asked := authorization{
		client: app.id, redirectURI: q.Get("redirect_uri"), state: q.Get("state"),
		challenge: q.Get("code_challenge"), expiresAt: c.now().Add(ticketTTL),
	}
	var problem *oauthError
	if asked.scopes, problem = checkAuthorize(q); problem != nil {
		c.sendBack(w, r, asked, url.Values{"error": {problem.code}, "error_description": {problem.description}})
		return
	}
	c.ask(w, http.StatusOK, asked, "")
}

func checkAuthorize(q url.Values) (scopes []string, problem *oauthError) {
	for name, values := range q {
		if len(values) > 1 {
			return nil, oauthProblem("invalid_request", "A parameter comes more than once: "+printable(name)+".")
		}
	}
	scopes, ok := parseScopes(q.Get("scope"), scopeNames(), defaultScopes)
	switch {
	case q.Get("response_type") == "":
		return nil, oauthProblem("invalid_request", "response_type is missing.")
	case q.Get("response_type") != "code":
		return nil, oauthProblem("unsupported_response_type", "The only response_type is code.")
	case q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43:
		return nil, oauthProblem("invalid_request", "PKCE with code_challenge_method S256 is required.")
	case !ok:
		return nil, oauthProblem("invalid_scope", "A scope that was asked for does not exist.")
	}
	return scopes, nil
}

func (c *CRM) ask(w http.ResponseWriter, status int, asked authorization, complaint string) {
	ticket := c.ids.secret()
	c.tickets.add(ticket, asked)
	showConsent(w, status, consentPage{App: asked.client, Scopes: describe(asked.scopes), Ticket: ticket, Complaint: complaint})
}

// decide is the user's answer: a login, and yes or no.
func (c *CRM) decide(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		showRefusal(w, "The form did not arrive whole. Go back and try again.")
		return
	}
	asked, ok := c.tickets.take(r.PostForm.Get("ticket"), c.now())
	switch {
	case !ok:
		showRefusal(w, "This form was used already or is too old. Go back to the application and start again.")
	case r.PostForm.Get("decision") != "allow":
		c.sendBack(w, r, asked, url.Values{"error": {"access_denied"}, "error_description": {"The user said no."}})
	case !loggedIn(r.PostForm.Get("user"), r.PostForm.Get("password")):
		c.ask(w, http.StatusForbidden, asked, "User name or password is wrong.")
	default:
		c.grant(w, r, asked)
	}
}

func loggedIn(user, password string) bool {
	return subtle.ConstantTimeCompare([]byte(user+"\n"+password), []byte(User+"\n"+Password)) == 1
}

func (c *CRM) grant(w http.ResponseWriter, r *http.Request, asked authorization) {
	var code string
	err := c.change(User, func(a *act) error {
		code = a.allow(asked)
		return nil
	})
	if err != nil {
		c.log.Error("consent not recorded", "err", err)
		c.sendBack(w, r, asked, url.Values{"error": {"server_error"}})
		return
	}
	c.sendBack(w, r, asked, url.Values{"code": {code}})
}

// sendBack redirects to the client with answer, the state it sent, and who we are (RFC 9207).
func (c *CRM) sendBack(w http.ResponseWriter, r *http.Request, asked authorization, answer url.Values) {
	u, err := url.Parse(asked.redirectURI)
	if err != nil { // AddClient parsed it
		showRefusal(w, "The application that sent you here has no usable address.")
		return
	}
	q := u.Query()
	for name, values := range answer {
		q[name] = values
	}
	if asked.state != "" {
		q.Set("state", asked.state)
	}
	q.Set("iss", c.base.String())
	u.RawQuery = q.Encode()
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}
