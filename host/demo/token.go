package demo

import (
	"net/http"
	"strings"
)

const maxForm = 64 << 10

// oauthError is the error of RFC 6749, sections 4.1.2.1 and 5.2.
type oauthError struct {
	code, description string
}

func oauthProblem(code, description string) *oauthError { return &oauthError{code, description} }

var unknownClient = oauthProblem("invalid_client", "The client is unknown or its secret is wrong.")

// printable keeps what RFC 6749 allows in an error_description.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s[:min(len(s), 50)])
}

func (e *oauthError) write(w http.ResponseWriter) {
	status := http.StatusBadRequest
	if e == unknownClient {
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="Tidepool CRM"`)
	}
	writeJSON(w, status, map[string]string{"error": e.code, "error_description": e.description})
}

// client reads the form of a client's request and checks who it is.
func (c *CRM) client(w http.ResponseWriter, r *http.Request) (client, *oauthError) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return client{}, oauthProblem("invalid_request", "The body is not a form of at most 64 KiB.")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return client{}, oauthProblem("invalid_request", "A parameter comes more than once: "+printable(name)+".")
		}
	}
	return c.clients.authenticate(r)
}

// token is the token endpoint (RFC 6749, sections 4.1.3 and 6).
func (c *CRM) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if status, ok := c.faults.nextToken(); ok {
		writeJSON(w, status, map[string]string{"error": "temporarily_unavailable"})
		return
	}
	app, problem := c.client(w, r)
	if problem != nil {
		problem.write(w)
		return
	}
	var out tokens
	err := c.change(app.id, func(a *act) error {
		switch f := r.PostForm; f.Get("grant_type") {
		case "authorization_code":
			out, problem = a.redeem(app.id, f.Get("code"), f.Get("redirect_uri"), f.Get("code_verifier"), c.tokenTTL)
		case "refresh_token":
			out, problem = a.refresh(app.id, f.Get("refresh_token"), f.Get("scope"), c.tokenTTL)
		case "":
			problem = oauthProblem("invalid_request", "grant_type is missing.")
		default:
			problem = oauthProblem("unsupported_grant_type", "The grant types are authorization_code and refresh_token.")
		}
		return nil // a refusal may revoke, and that is committed
	})
	switch {
	case err != nil:
		c.log.Error("token request failed", "err", err)
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
	case problem != nil:
		problem.write(w)
	default:
		writeJSON(w, http.StatusOK, map[string]any{
			"access_token":  out.access,
			"token_type":    "Bearer",
			"expires_in":    int(c.tokenTTL.Seconds()),
			"refresh_token": out.refresh,
			"scope":         strings.Join(out.scopes, " "),
		})
	}
}

// revoke is RFC 7009: a refresh token takes its grant along, an access token only itself; an unknown one is no error.
func (c *CRM) revoke(w http.ResponseWriter, r *http.Request) {
	app, problem := c.client(w, r)
	if problem != nil {
		problem.write(w)
		return
	}
	given := r.PostForm.Get("token")
	err := c.change(app.id, func(a *act) error {
		if t, ok := a.Tokens[hash(given)]; ok && t.Client == app.id {
			delete(a.Tokens, hash(given))
		}
		id := named(given, refreshPrefix)
		if g, ok := a.Grants[id]; ok && g.Client == app.id && g.Refresh == hash(given) {
			a.revoke(id)
		}
		return nil
	})
	if err != nil {
		c.log.Error("revocation failed", "err", err)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}
