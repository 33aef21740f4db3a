package demo

import (
	"net/http"
	"sync"
	"time"
)

// faults are the bad days that tests and the demo command can order. The zero value is a good day.
type faults struct {
	mu         sync.Mutex
	api, token failure
	cuts       int
	delay      time.Duration
}

type failure struct{ left, status int }

func (f *failure) next() (status int, ok bool) {
	if f.left <= 0 {
		return 0, false
	}
	f.left--
	return f.status, true
}

// FailNext answers the next n API requests with status and does nothing else for them.
func (c *CRM) FailNext(n, status int) { c.faults.set(func(f *faults) { f.api = failure{n, status} }) }

// FailNextToken does the same at the token endpoint.
func (c *CRM) FailNextToken(n, status int) {
	c.faults.set(func(f *faults) { f.token = failure{n, status} })
}

// CutNext does what the next n API requests ask for and then drops the connection without an answer, so that the caller cannot
// know. Only for requests that came over a socket.
func (c *CRM) CutNext(n int) { c.faults.set(func(f *faults) { f.cuts = n }) }

// Delay makes every API and token request wait d before it is looked at; zero ends that.
func (c *CRM) Delay(d time.Duration) { c.faults.set(func(f *faults) { f.delay = d }) }

// ExpireTokens ends the life of every access token; refresh tokens stay.
func (c *CRM) ExpireTokens() error {
	return c.change(User, func(a *act) error {
		for key, t := range a.Tokens {
			t.ExpiresAt = a.now
			a.Tokens[key] = t
		}
		return nil
	})
}

// RevokeAll takes back everything the user allowed, as a person does in a vendor's settings.
func (c *CRM) RevokeAll() error {
	return c.change(User, func(a *act) error {
		clear(a.Grants)
		clear(a.Tokens)
		return nil
	})
}

// TokenRequests counts the requests to the token endpoint since New, refused ones included.
func (c *CRM) TokenRequests() int { return int(c.tokenRequests.Load()) }

// APIRequests counts the requests below /api/ since New, refused ones included.
func (c *CRM) APIRequests() int { return int(c.apiRequests.Load()) }

func (f *faults) set(change func(*faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *faults) nextAPI() (status int, ok bool) {
	f.set(func(f *faults) { status, ok = f.api.next() })
	return status, ok
}

func (f *faults) nextToken() (status int, ok bool) {
	f.set(func(f *faults) { status, ok = f.token.next() })
	return status, ok
}

func (f *faults) nextCut() (cut bool) {
	f.set(func(f *faults) {
		if cut = f.cuts > 0; cut {
			f.cuts--
		}
	})
	return cut
}

func (c *CRM) countToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.tokenRequests.Add(1)
		next.ServeHTTP(w, r)
	})
}

func (c *CRM) countAPI(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.apiRequests.Add(1)
		next.ServeHTTP(w, r)
	})
}

func (c *CRM) slow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var d time.Duration
		c.faults.set(func(f *faults) { d = f.delay })
		if sleep(r.Context(), d) {
			next.ServeHTTP(w, r)
		}
	})
}

func (c *CRM) cut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.faults.nextCut() {
			next.ServeHTTP(newMemo(), r)
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}
