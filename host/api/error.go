package api

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/labstack/echo/v4"
)

// statusClientLeft is the status of a request whose client went away; only the log sees it.
const statusClientLeft = 499

// statuses is the one table from faults to HTTP statuses, by whose fault it is: ours or the caller's, a plugin's, a vendor's.
//
// A vendor or plugin that refuses a request is no reason for a client to log in again or to believe that a record of ours is
// missing, so those become 400. What it does that the client cannot help becomes 502.
var statuses = map[fault.Kind]struct{ own, guest, remote int }{
	fault.Invalid:      {http.StatusBadRequest, http.StatusBadRequest, http.StatusBadRequest},
	fault.Unauthorized: {http.StatusUnauthorized, http.StatusBadRequest, http.StatusBadRequest},
	fault.Forbidden:    {http.StatusForbidden, http.StatusForbidden, http.StatusBadRequest},
	fault.NotFound:     {http.StatusNotFound, http.StatusNotFound, http.StatusBadRequest},
	fault.Conflict:     {http.StatusConflict, http.StatusConflict, http.StatusConflict},
	fault.TooLarge:     {http.StatusRequestEntityTooLarge, http.StatusBadGateway, http.StatusBadGateway},
	fault.RateLimited:  {http.StatusTooManyRequests, http.StatusTooManyRequests, http.StatusTooManyRequests},
	fault.Timeout:      {http.StatusGatewayTimeout, http.StatusGatewayTimeout, http.StatusGatewayTimeout},
	fault.Unavailable:  {http.StatusServiceUnavailable, http.StatusServiceUnavailable, http.StatusBadGateway},
	fault.Exhausted:    {http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusBadGateway},
	fault.Unsupported:  {http.StatusUnprocessableEntity, http.StatusUnprocessableEntity, http.StatusUnprocessableEntity},
	fault.Canceled:     {statusClientLeft, statusClientLeft, statusClientLeft},
	fault.Internal:     {http.StatusInternalServerError, http.StatusBadGateway, http.StatusBadGateway},
}

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	var unrouted *echo.HTTPError // echo's own 404 and 405
	if errors.As(err, &unrouted) {
		return unrouted.Code
	}
	row, ok := statuses[fault.KindOf(err)]
	if !ok {
		return http.StatusInternalServerError
	}
	switch fault.SideOf(err) {
	case fault.Guest:
		return row.guest
	case fault.Remote:
		return row.remote
	}
	return row.own
}

// Error is the body of every answer that is not a success.
type Error struct {
	Error  string    `json:"error" doc:"What happened and what to do. Of a failure of the host it says nothing more than that." example:"no such integration"`
	Type   string    `json:"type" doc:"RFC 9457." example:"about:blank"`
	Title  string    `json:"title" doc:"RFC 9457: the name of the status." example:"Not Found"`
	Status int       `json:"status" doc:"RFC 9457: the status." example:"404"`
	Detail string    `json:"detail" doc:"RFC 9457: the same text as error." example:"no such integration"`
	Errors []Problem `json:"errors,omitempty" doc:"Accounts that do not work."`
}

// Problem is an account that does not work.
type Problem struct {
	Title     string    `json:"title" example:"Authentication Error"`
	Message   string    `json:"message" example:"There was an error with your crm account. Please authorise it again."`
	Timestamp time.Time `json:"timestamp" example:"2026-01-02T15:04:05Z"`
}

const authenticationError = "Authentication Error"

// unwell is the answer of a test that found accounts which do not work.
type unwell []Problem

func (unwell) Error() string { return "an account does not work" }

// answerTo is what a client is told of an error.
func (a *API) answerTo(err error) Error {
	var found unwell
	if errors.As(err, &found) {
		return newError(http.StatusBadRequest, authenticationError, found...)
	}
	code := statusOf(err)
	switch {
	case code >= http.StatusInternalServerError:
		return newError(code, "Internal Server Error")
	case errors.As(err, new(*echo.HTTPError)):
		return newError(code, http.StatusText(code))
	case fault.Is(err, fault.Unauthorized) && code == http.StatusBadRequest:
		return newError(code, fault.PublicMessage(err), Problem{authenticationError, fault.PublicMessage(err), a.now()})
	}
	return newError(code, fault.PublicMessage(err))
}

func newError(code int, text string, found ...Problem) Error {
	return Error{Error: text, Type: "about:blank", Title: http.StatusText(code), Status: code, Detail: text, Errors: found}
}

// onError is the only place that answers an error, and the only one that logs it.
func (a *API) onError(err error, c echo.Context) {
	if c.Response().Committed { // only writing the answer can fail so late: the client left
		return
	}
	answer := a.answerTo(err)
	if answer.Status >= http.StatusInternalServerError {
		a.Log.Log(c.Request().Context(), levelOf(err), "request failed", "request", requestID(c), "route", c.Path(), "status", answer.Status, "err", err)
	}
	h := c.Response().Header()
	if wait := fault.RetryAfterOf(err); wait > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10))
	}
	if answer.Status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, "Bearer")
	}
	if c.Request().Method == http.MethodHead {
		_ = c.NoContent(answer.Status)
		return
	}
	_ = c.JSON(answer.Status, answer) // it fails only if the client left
}

// levelOf is how loud a failure is: what plugins and vendors do wrong is no error of the host.
func levelOf(err error) slog.Level {
	switch fault.SideOf(err) {
	case fault.Guest, fault.Remote:
		return slog.LevelWarn
	}
	return slog.LevelError
}
