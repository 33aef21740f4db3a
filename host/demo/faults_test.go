package demo_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/demo"
)

func TestFailNext_FailsThatManyAndDoesNothingElse(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	c := v.connect(everything)
	v.crm.FailNext(2, 503)
	for range 2 {
		if got := c.call("POST", "/contacts", `{"name":"A"}`).want(503); got.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if rows, _ := c.list("/contacts?limit=100"); len(rows) != 12 {
		t.Errorf("%d contacts, want 12", len(rows))
	}
	if n := v.crm.APIRequests(); n != 3 {
		t.Errorf("%d API requests were counted, want 3", n)
	}
}

func TestFailNextToken_SpendsNothing(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	code := v.consent(nil).Get("code")
	v.crm.FailNextToken(1, 500)
	v.redeem(code).want(500)
	v.redeem(code).want(200)
}

func TestCutNext_DoesTheWorkAndSaysNothing(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	c := v.connect(everything)
	v.crm.CutNext(1)
	req, err := http.NewRequestWithContext(context.Background(), "POST", v.base+"/api/v1/contacts", strings.NewReader(`{"name":"A"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + c.token}, "Content-Type": {"application/json"}}
	if resp, err := v.http.Do(req); err == nil {
		resp.Body.Close()
		t.Fatalf("an answer came: %d", resp.StatusCode)
	}
	if rows, _ := c.list("/contacts?limit=100"); len(rows) != 13 {
		t.Errorf("%d contacts, want 13", len(rows))
	}
}

func TestDelay_EndsWithTheRequest(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	c := v.connect(everything)
	v.crm.Delay(time.Hour)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", v.base+"/api/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := v.http.Do(req); err == nil {
		resp.Body.Close()
		t.Error("an answer came")
	}
	v.crm.Delay(0)
	c.call("GET", "/me", "").want(200)
}

func TestExpireTokens_LeavesTheRefreshToken(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	got := v.redeem(v.consent(nil).Get("code")).want(200)
	if err := v.crm.ExpireTokens(); err != nil {
		t.Fatal(err)
	}
	caller{v, got.str("access_token")}.call("GET", "/me", "").want(401)
	again := v.refresh(got.str("refresh_token")).want(200)
	caller{v, again.str("access_token")}.call("GET", "/me", "").want(200)
}

func TestRevokeAll_TakesEverythingBack(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	got := v.redeem(v.consent(nil).Get("code")).want(200)
	if err := v.crm.RevokeAll(); err != nil {
		t.Fatal(err)
	}
	caller{v, got.str("access_token")}.call("GET", "/me", "").want(401)
	if again := v.refresh(got.str("refresh_token")).want(400); again.str("error") != "invalid_grant" {
		t.Errorf("refresh: %s", again.body)
	}
}
