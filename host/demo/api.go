package demo

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// request is an API request whose client is known and allowed.
type request struct {
	*http.Request
	base  *url.URL
	token accessToken
	body  []byte
}

// nextURL is the address of this list from cursor on.
func (r *request) nextURL(cursor string) string {
	u := *r.base
	q := r.URL.Query()
	q.Set("cursor", cursor)
	u.Path, u.RawQuery = r.URL.Path, q.Encode()
	return u.String()
}

// reply has status 200 when it says none.
type reply struct {
	status int
	body   any
	header map[string]string
}

type endpoint func(*request) (reply, error)

func (c *CRM) api() http.Handler {
	mux := http.NewServeMux()
	for _, e := range []struct {
		pattern, scope string
		do             endpoint
	}{
		{"GET /api/v1/me", "", c.me},
		{"GET /api/v1/contacts", "contacts:read", c.listContacts},
		{"POST /api/v1/contacts", "contacts:write", c.createContact},
		{"GET /api/v1/contacts/{id}", "contacts:read", c.contact},
		{"PATCH /api/v1/contacts/{id}", "contacts:write", c.patchContact},
		{"DELETE /api/v1/contacts/{id}", "contacts:write", c.deleteContact},
		{"GET /api/v1/contacts/{id}/notes", "contacts:read", c.listNotes},
		{"POST /api/v1/contacts/{id}/notes", "contacts:write", c.createNote},
		{"GET /api/v1/deals", "deals:read", c.listDeals},
		{"POST /api/v1/deals", "deals:write", c.createDeal},
		{"GET /api/v1/deals/{id}", "deals:read", c.deal},
		{"PATCH /api/v1/deals/{id}", "deals:write", c.patchDeal},
		{"GET /api/v1/tasks", "tasks:read", c.listTasks},
		{"POST /api/v1/tasks", "tasks:write", c.createTask},
		{"POST /api/v1/tasks/{id}/complete", "tasks:write", c.completeTask},
		{"GET /api/v1/webhooks", "webhooks:write", c.listSubscriptions},
		{"POST /api/v1/webhooks", "webhooks:write", c.createSubscription},
		{"GET /api/v1/webhooks/{id}", "webhooks:write", c.subscription},
		{"PATCH /api/v1/webhooks/{id}", "webhooks:write", c.patchSubscription},
		{"DELETE /api/v1/webhooks/{id}", "webhooks:write", c.deleteSubscription},
		{"GET /api/v1/webhooks/{id}/deliveries", "webhooks:write", c.listDeliveries},
		{"POST /api/v1/webhooks/{id}/deliveries/{delivery}/redeliver", "webhooks:write", c.redeliver},
	} {
		mux.Handle(e.pattern, c.serve(e.scope, e.do))
	}
	return jsonMisses(mux)
}

// serve is the only place that writes an API answer.
func (c *CRM) serve(scope string, do endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := c.answer(w, r, scope, do)
		if err != nil {
			c.writeProblem(w, r, err)
			return
		}
		for name, value := range out.header {
			w.Header().Set(name, value)
		}
		switch out.status {
		case http.StatusNoContent:
			w.WriteHeader(out.status)
		case 0:
			writeJSON(w, http.StatusOK, out.body)
		default:
			writeJSON(w, out.status, out.body)
		}
	})
}

func (c *CRM) answer(w http.ResponseWriter, r *http.Request, scope string, do endpoint) (reply, error) {
	if status, ok := c.faults.nextAPI(); ok {
		return reply{}, &problem{status: status, Code: "fault", Message: "This failure was ordered."}
	}
	token, key, err := c.bearer(r)
	if err != nil {
		return reply{}, err
	}
	if err := c.limiter.admit(w.Header(), key, c.now()); err != nil {
		return reply{}, err
	}
	if scope != "" && !slices.Contains(token.Scopes, scope) {
		return reply{}, &problem{
			status: http.StatusForbidden, Code: "insufficient_scope", Message: "This needs the scope " + scope + ".",
			challenge: `error="insufficient_scope", scope="` + scope + `"`,
		}
	}
	body, err := readBody(w, r)
	if err != nil {
		return reply{}, err
	}
	return do(&request{Request: r, base: c.base, token: token, body: body})
}

// bearer finds the access token of r (RFC 6750, section 2.1) and the name of its rate bucket.
func (c *CRM) bearer(r *http.Request) (t accessToken, key string, err error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return t, "", &problem{status: http.StatusUnauthorized, Code: "unauthorized", Message: "Send an access token."}
	}
	key = hash(secret)
	known := false
	c.store.view(func(s *state) { t, known = s.Tokens[key] })
	if !known || !c.now().Before(t.ExpiresAt) {
		return t, "", &problem{
			status: http.StatusUnauthorized, Code: "invalid_token", Message: "The access token is unknown or has expired.",
			challenge: `error="invalid_token"`,
		}
	}
	return t, key, nil
}

// problem is an error that the client may read.
type problem struct {
	status    int
	challenge string // more for WWW-Authenticate
	Code      string `json:"code"`
	Message   string `json:"message"`
	Fields    fields `json:"fields,omitempty"`
}

func (p *problem) Error() string { return p.Code + ": " + p.Message }

// problemOf returns the problem in err, or nil.
func problemOf(err error) *problem {
	var p *problem
	errors.As(err, &p)
	return p
}

func notFound(what string) error {
	return &problem{status: http.StatusNotFound, Code: "not_found", Message: "There is no such " + what + "."}
}

func (c *CRM) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p == nil {
		c.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		p = &problem{status: http.StatusInternalServerError, Code: "internal", Message: "Something went wrong here."}
	}
	p.write(w)
}

func (p *problem) write(w http.ResponseWriter) {
	switch p.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		challenge := `Bearer realm="Tidepool CRM"`
		if p.challenge != "" {
			challenge += ", " + p.challenge
		}
		w.Header().Set("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "1")
		}
	}
	writeJSON(w, p.status, map[string]*problem{"error": p})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}

// jsonMisses gives the 404 and 405 of mux the shape of all other errors.
func jsonMisses(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		miss, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		m := newMemo()
		miss.ServeHTTP(m, r)
		p := &problem{status: m.status, Code: "not_found", Message: "There is no such address."}
		if allow := m.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			p.Code, p.Message = "method_not_allowed", "This address takes "+allow+"."
		}
		p.write(w)
	})
}
