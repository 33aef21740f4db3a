package demo

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	codeTTL        = 60 * time.Second
	maxGrants      = 200
	tokensPerGrant = 20
)

// grant is what the user allowed one client, from the consent on. Its code and refresh tokens carry its id, so that one that
// was used before is known without keeping every old one. Revoking deletes it and its access tokens.
type grant struct {
	Client    string    `json:"client"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	Code      code      `json:"code"`
	Refresh   string    `json:"refresh"` // hash of the only refresh token that still works; empty until the code is redeemed
}

type code struct {
	Hash        string    `json:"hash"`
	RedirectURI string    `json:"redirect_uri"`
	Challenge   string    `json:"challenge"`
	ExpiresAt   time.Time `json:"expires_at"`
}

type accessToken struct {
	Grant     grantID   `json:"grant"`
	Client    string    `json:"client"`
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at"`
}

// tokens is what a client gets; only hashes of it are kept.
type tokens struct {
	access, refresh string
	scopes          []string
}

var (
	errBadCode    = oauthProblem("invalid_grant", "The code is unknown, used, too old, or not for this client, redirect URI and verifier.")
	errBadRefresh = oauthProblem("invalid_grant", "The refresh token is unknown, revoked, used before, or not for this client.")
)

// named splits a code or refresh token "prefix_GRANT.SECRET".
func named(token, prefix string) grantID {
	rest, ok := strings.CutPrefix(token, prefix)
	id, _, found := strings.Cut(rest, ".")
	if !ok || !found {
		return ""
	}
	return grantID(id)
}

// allow records the user's consent and returns the code for it.
func (a *act) allow(asked authorization) string {
	a.pruneGrants()
	id := grantID(a.id(""))
	secret := codePrefix + string(id) + "." + a.secret()
	a.Grants[id] = grant{Client: asked.client, Scopes: asked.scopes, CreatedAt: a.now, Code: code{
		Hash: hash(secret), RedirectURI: asked.redirectURI, Challenge: asked.challenge, ExpiresAt: a.now.Add(codeTTL),
	}}
	return secret
}

const (
	codePrefix    = "tpcode_"
	accessPrefix  = "tpat_"
	refreshPrefix = "tprt_"
)

// redeem exchanges a code once. A second attempt revokes what the first one got (RFC 6749, section 4.1.2), and so does a wrong
// verifier, since whoever holds the code without it stole it. The error is for the client; the act is to be committed anyway.
func (a *act) redeem(client, given, redirectURI, verifier string, ttl time.Duration) (tokens, *oauthError) {
	id := named(given, codePrefix)
	g, ok := a.Grants[id]
	if !ok || g.Client != client || g.Code.Hash != hash(given) {
		return tokens{}, errBadCode
	}
	if g.Refresh != "" || !a.now.Before(g.Code.ExpiresAt) || g.Code.RedirectURI != redirectURI || !g.Code.proven(verifier) {
		a.revoke(id)
		return tokens{}, errBadCode
	}
	return a.issue(id, g, g.Scopes, ttl), nil
}

// proven checks PKCE S256 (RFC 7636, section 4.6).
func (c code) proven(verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return len(verifier) >= 43 && len(verifier) <= 128 &&
		subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(c.Challenge)) == 1
}

// refresh spends a refresh token. One that was spent before revokes the grant (RFC 9700, section 4.14.2). The error is for the
// client; the act is to be committed anyway.
func (a *act) refresh(client, given, rawScopes string, ttl time.Duration) (tokens, *oauthError) {
	id := named(given, refreshPrefix)
	g, ok := a.Grants[id]
	if !ok || g.Client != client || g.Refresh == "" {
		return tokens{}, errBadRefresh
	}
	if g.Refresh != hash(given) {
		a.revoke(id)
		return tokens{}, errBadRefresh
	}
	scopes, ok := parseScopes(rawScopes, g.Scopes, g.Scopes)
	if !ok {
		return tokens{}, oauthProblem("invalid_scope", "A refresh cannot ask for more than was granted.")
	}
	return a.issue(id, g, scopes, ttl), nil
}

func (a *act) issue(id grantID, g grant, scopes []string, ttl time.Duration) tokens {
	t := tokens{access: accessPrefix + a.secret(), refresh: refreshPrefix + string(id) + "." + a.secret(), scopes: scopes}
	g.Refresh = hash(t.refresh)
	a.Grants[id] = g
	a.pruneTokens(id)
	a.Tokens[hash(t.access)] = accessToken{Grant: id, Client: g.Client, Scopes: scopes, ExpiresAt: a.now.Add(ttl)}
	return t
}

func (a *act) revoke(id grantID) {
	delete(a.Grants, id)
	maps.DeleteFunc(a.Tokens, func(_ string, t accessToken) bool { return t.Grant == id })
}

// pruneGrants forgets codes that nobody redeemed and, when there are too many, the oldest grants.
func (a *act) pruneGrants() {
	maps.DeleteFunc(a.Grants, func(_ grantID, g grant) bool { return g.Refresh == "" && !a.now.Before(g.Code.ExpiresAt) })
	dropOldest(a.Grants, maxGrants-1, func(g grant) time.Time { return g.CreatedAt })
	maps.DeleteFunc(a.Tokens, func(_ string, t accessToken) bool { _, ok := a.Grants[t.Grant]; return !ok })
}

// pruneTokens forgets access tokens that have expired, and this grant's oldest ones when it has too many.
func (a *act) pruneTokens(id grantID) {
	maps.DeleteFunc(a.Tokens, func(_ string, t accessToken) bool { return !a.now.Before(t.ExpiresAt) })
	own := maps.Clone(a.Tokens)
	maps.DeleteFunc(own, func(_ string, t accessToken) bool { return t.Grant != id })
	keys := slices.SortedFunc(maps.Keys(own), func(x, y string) int { return own[x].ExpiresAt.Compare(own[y].ExpiresAt) })
	for _, key := range keys[:max(0, len(keys)-tokensPerGrant+1)] {
		delete(a.Tokens, key)
	}
}
