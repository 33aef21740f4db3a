package api

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/labstack/echo/v4"
)

// Config joins the API to the rooms. All fields are required but those that say otherwise.
type Config struct {
	Accounts     Accounts
	Connections  Connections
	Integrations Integrations
	Jobs         Jobs
	Schedules    Schedules
	Runs         Runs
	Facts        Facts
	Outbound     Outbound
	Syncs        Syncs
	Plugins      plugin.Catalog
	Health       Health

	// PublicURL is the address under which vendors and clients reach this host, without a trailing slash.
	PublicURL string
	// FrontendURL is the application to which people come back after authorising, without a trailing slash. Optional.
	FrontendURL string
	// BackendKey proves that a caller is the embedding product's own server. Zero refuses such callers.
	BackendKey secret.Text
	// ClosedSignUp leaves the creation of users to the operator.
	ClosedSignUp bool
	// HealthKey opens the detailed health checks. Zero closes them.
	HealthKey secret.Text
	// AllowedOrigins are the origins whose pages may call from a browser, for example "https://app.example.com". The
	// origin "*" is any, without cookies. Empty is none.
	AllowedOrigins []string
	// TrustedProxies are the addresses whose X-Forwarded-For and X-Request-ID headers are believed. Empty is none.
	TrustedProxies []netip.Prefix

	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log is for operators; nil discards.
	Log *slog.Logger
}

// API is an http.Handler. Make one with New.
type API struct {
	Config
	echo     *echo.Echo
	document *huma.OpenAPI
	attempts *attempts
	route    echo.HandlerFunc // routes of integrations
}

// New makes an API that serves every route.
func New(c Config) *API {
	a := &API{Config: c, echo: echo.New(), document: newDocument()}
	if a.Now == nil {
		a.Now = time.Now
	}
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	a.PublicURL = strings.TrimSuffix(a.PublicURL, "/")
	a.FrontendURL = strings.TrimSuffix(a.FrontendURL, "/")
	a.attempts = newAttempts(a.Now)
	a.echo.HTTPErrorHandler = a.onError
	a.echo.JSONSerializer = plainJSON{}
	a.echo.IPExtractor = extractAddress(a.TrustedProxies)
	middleware := a.middleware()
	a.echo.Use(middleware...)
	a.users()
	a.authorizing()
	a.entities()
	a.integrations()
	a.actions()
	a.webhooks()
	a.inbox()
	a.routes(middleware)
	a.jobs()
	a.schedules()
	a.runs()
	a.facts()
	a.endpoints()
	a.syncs()
	a.health()
	a.serveDocument()
	return a
}

// ServeHTTP serves one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, _, ok := routeTarget(r.URL); ok {
		a.serveRoute(w, r)
		return
	}
	a.echo.ServeHTTP(w, r)
}

// now is the time in answers.
func (a *API) now() time.Time { return a.Now().UTC() }
