package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/secret"
)

// anyone is an account room in which every token is good.
type anyone struct{ api.Accounts }

func (anyone) Authenticate(context.Context, secret.Text) (account.Actor, error) {
	return account.Actor{User: "usr_1", Owner: "usr_1"}, nil
}

// failing is a job room that fails.
type failing struct{ err error }

func (f failing) Find(context.Context, account.Actor, job.Filter) ([]*job.Job, error) {
	if f.err == nil {
		panic("planted cause")
	}
	return nil, f.err
}

func (failing) Replay(context.Context, account.Actor, job.ID, job.ReplayOptions) error { return nil }

func (failing) Cancel(context.Context, account.Actor, job.ID) error { return nil }

var signedIn = map[string]string{"Authorization": "Bearer x"}

func TestErrors_HaveOneStatusForKindAndSide(t *testing.T) {
	t.Parallel()
	want := map[fault.Kind][3]int{ // own, guest, remote
		fault.Invalid:      {400, 400, 400},
		fault.Unauthorized: {401, 400, 400},
		fault.Forbidden:    {403, 403, 400},
		fault.NotFound:     {404, 404, 400},
		fault.Conflict:     {409, 409, 409},
		fault.TooLarge:     {413, 502, 502},
		fault.RateLimited:  {429, 429, 429},
		fault.Timeout:      {504, 504, 504},
		fault.Unavailable:  {503, 503, 502},
		fault.Exhausted:    {503, 502, 502},
		fault.Unsupported:  {422, 422, 422},
		fault.Canceled:     {499, 499, 499},
		fault.Internal:     {500, 502, 502},
	}
	for _, name := range abi.FaultKind("").Values() {
		row, ok := want[fault.Kind(name)]
		if !ok {
			t.Errorf("no row for %s", name)
		}
		for i, sides := range [][]fault.Side{{fault.Caller, fault.Host}, {fault.Guest}, {fault.Remote}} {
			for _, side := range sides {
				err := &fault.Error{Kind: fault.Kind(name), Side: side, Msg: "do this", RetryAfter: 1500 * time.Millisecond, Err: errors.New("planted cause")}
				res, log := failWith(t, err)
				if res.code != row[i] {
					t.Errorf("%s on side %s is answered %d, want %d", name, side, res.code, row[i])
				}
				text := "do this"
				if row[i] >= 500 {
					text = "Internal Server Error"
				}
				if res.body.Error != text || res.body.Detail != text || res.body.Status != res.code || res.body.Title != http.StatusText(row[i]) {
					t.Errorf("%s on side %s is answered %+v", name, side, res)
				}
				if res.retryAfter != "2" {
					t.Errorf("%s: Retry-After is %q, want 2", name, res.retryAfter)
				}
				if lines := strings.Count(log, "planted cause"); row[i] >= 500 && lines != 1 || row[i] < 500 && lines != 0 {
					t.Errorf("%s on side %s: the cause is in the log %d times", name, side, lines)
				}
			}
		}
	}
}

type answered struct {
	body       api.Error
	code       int
	retryAfter string
}

// failWith lets a use case fail and returns the answer and the log.
func failWith(t *testing.T, err error) (answered, string) {
	t.Helper()
	var log bytes.Buffer
	a := api.New(api.Config{Accounts: anyone{}, Jobs: failing{err: err}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	res := get(t, a, "/api/jobs", signedIn)
	body := res.Body.String()
	if strings.Contains(body, "planted") {
		t.Errorf("the answer tells the cause: %s", body)
	}
	if !strings.HasPrefix(body, `{"error":`) {
		t.Errorf("the answer does not begin with error: %s", body)
	}
	out := answered{code: res.Code, retryAfter: res.Header().Get("Retry-After")}
	if err := json.Unmarshal(res.Body.Bytes(), &out.body); err != nil {
		t.Fatal(err)
	}
	return out, log.String()
}

func TestErrors_SayNothingOfAPlainErrorOrPanic(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"plain": errors.New("planted cause"), "panic": nil} {
		res, log := failWith(t, err)
		if res.code != 500 || res.body.Error != "Internal Server Error" {
			t.Errorf("%s: %+v", name, res)
		}
		if strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "planted cause") {
			t.Errorf("%s: the log is %s", name, log)
		}
		if name == "panic" && !strings.Contains(log, "error_test.go") {
			t.Errorf("the log does not say where the panic was: %s", log)
		}
	}
}

func TestErrors_ARefusedCredentialIsNotABadToken(t *testing.T) {
	t.Parallel()
	res, _ := failWith(t, &fault.Error{Kind: fault.Unauthorized, Side: fault.Remote, Msg: "Demo CRM does not accept the credential"})
	if res.code != 400 || len(res.body.Errors) != 1 || res.body.Errors[0].Title != "Authentication Error" || res.body.Errors[0].Timestamp.IsZero() ||
		res.body.Errors[0].Message != "Demo CRM does not accept the credential" {
		t.Errorf("got %+v", res)
	}
}

func TestErrors_OfTheRouterAreJSONToo(t *testing.T) {
	t.Parallel()
	a := api.New(api.Config{})
	for _, c := range []struct {
		method, path string
		code         int
		text         string
	}{
		{"GET", "/nowhere", 404, "Not Found"},
		{"GET", "/api/integrations/a/b/c/d/e/f", 404, "Not Found"},
		{"PATCH", "/user/create", 405, "Method Not Allowed"},
	} {
		res := send(t, a, c.method, c.path, "", nil)
		var body api.Error
		if err := json.Unmarshal(res.Body.Bytes(), &body); err != nil || res.Code != c.code || body.Error != c.text {
			t.Errorf("%s %s: %d %s", c.method, c.path, res.Code, res.Body)
		}
	}
	if res := send(t, a, "HEAD", "/nowhere", "", nil); res.Code != 404 || res.Body.Len() != 0 {
		t.Errorf("HEAD: %d %q", res.Code, res.Body)
	}
}
