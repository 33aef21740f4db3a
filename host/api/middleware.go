package api

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// middleware is what every request goes through, outermost first.
func (a *API) middleware() []echo.MiddlewareFunc {
	all := []echo.MiddlewareFunc{a.identify, a.logAccess, a.secure, a.recover()}
	if len(a.AllowedOrigins) > 0 {
		all = append(all, a.cors())
	}
	return all
}

var safeRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// identify gives the request an id, or keeps the one that a trusted proxy gave.
func (a *API) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !a.fromProxy(c.Request()) || !safeRequestID.MatchString(id) {
			id = uuid.NewString()
		}
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

func requestID(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

func (a *API) fromProxy(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && slices.ContainsFunc(a.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(from.Addr().Unmap()) })
}

// extractAddress finds the address of a client: behind trusted proxies the last one that is none of them, else who connected.
func extractAddress(proxies []netip.Prefix) echo.IPExtractor {
	if len(proxies) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range proxies {
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// logAccess writes one line for each request: no query, no body, no ids.
func (a *API) logAccess(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		begun := time.Now()
		if err := next(c); err != nil {
			c.Error(err)
		}
		r := c.Request()
		a.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("request", requestID(c)), slog.String("method", r.Method),
			slog.String("route", c.Path()), slog.Int("status", c.Response().Status), slog.Duration("duration", time.Since(begun)))
		return nil
	}
}

// secure sets headers that keep browsers from doing anything with an answer but reading it.
func (a *API) secure(next echo.HandlerFunc) echo.HandlerFunc {
	fixed := http.Header{ // shared by all answers: setting one of them again replaces it, and adding to one copies it
		echo.HeaderXContentTypeOptions:   {"nosniff"},
		echo.HeaderXFrameOptions:         {"DENY"},
		echo.HeaderContentSecurityPolicy: {"default-src 'none'; frame-ancestors 'none'; sandbox"},
		echo.HeaderReferrerPolicy:        {"no-referrer"},
		echo.HeaderCacheControl:          {"no-store"},
	}
	if strings.HasPrefix(a.PublicURL, "https://") {
		fixed.Set(echo.HeaderStrictTransportSecurity, "max-age=31536000")
	}
	return func(c echo.Context) error {
		maps.Copy(c.Response().Header(), fixed)
		return next(c)
	}
}

// recover makes an error of a panic.
func (a *API) recover() echo.MiddlewareFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableStackAll:     true,
		DisableErrorHandler: true,
		LogErrorFunc: func(_ echo.Context, err error, stack []byte) error {
			return &fault.Error{Kind: fault.Internal, Side: fault.Host, Op: "api.panic", Err: fmt.Errorf("%w\n%s", err, stack)}
		},
	})
}

// cors lets pages of the allowed origins call. They may send cookies, which nothing here reads, because clients written for Frigg
// do; not so if any origin is allowed.
func (a *API) cors() echo.MiddlewareFunc {
	anyOrigin := slices.Contains(a.AllowedOrigins, "*")
	return middleware.CORSWithConfig(middleware.CORSConfig{
		AllowOriginFunc: func(origin string) (bool, error) {
			return anyOrigin || slices.Contains(a.AllowedOrigins, origin), nil
		},
		AllowCredentials: !anyOrigin,
		AllowMethods:     []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowHeaders:     []string{echo.HeaderAuthorization, echo.HeaderContentType},
		ExposeHeaders:    []string{echo.HeaderRetryAfter, echo.HeaderXRequestID},
		MaxAge:           600,
	})
}
