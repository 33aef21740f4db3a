package api_test

import (
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/secret"
)

func TestBackend_ActsForItsUsersWithItsKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	as := func(user, org string) map[string]string {
		return map[string]string{"x-frigg-api-key": backendKey, "x-frigg-appuserid": user, "x-frigg-apporgid": org}
	}
	res := send(t, h, "POST", "/api/authorize", `{"entityType":"box","data":{"key":"`+vendorKey+`"}}`, as("u1", ""))
	if res.Code != 200 {
		t.Fatalf("answered %d %s", res.Code, res.Body)
	}
	entity := "/api/entities/" + string(decoded[api.Authorization](t, res).EntityID)
	for name, c := range map[string]struct {
		header map[string]string
		want   int
	}{
		"the user":             {as("u1", ""), 200},
		"the user with an org": {as("u1", "o1"), 200},
		"another user":         {as("u2", ""), 404},
		"nobody":               {as("", ""), 400},
		"an org alone":         {as("", "o1"), 400},
		"a wrong key":          {map[string]string{"x-frigg-api-key": backendKey + "x", "x-frigg-appuserid": "u1"}, 401},
		"no key":               {map[string]string{"x-frigg-appuserid": "u1"}, 401},
		"the health key":       {map[string]string{"x-api-key": healthKey, "x-frigg-appuserid": "u1"}, 401},
	} {
		if res := get(t, h, entity, c.header); res.Code != c.want {
			t.Errorf("%s: %d %s, want %d", name, res.Code, res.Body, c.want)
		}
	}
	closed := newHouse(t, func(c *api.Config) { c.BackendKey = secret.Text{} })
	for _, key := range []string{backendKey, "[secret]", " "} {
		if res := get(t, closed, "/api/integrations", map[string]string{"x-frigg-api-key": key, "x-frigg-appuserid": "u1"}); res.Code != 401 {
			t.Errorf("without a key configured %q opens: %d", key, res.Code)
		}
	}
}

func TestToken_IsRefusedAfterItExpired(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ada := h.user("ada")
	h.now = h.now.Add(2 * time.Hour)
	if res := get(t, h, "/api/integrations", bearer(ada)); res.Code != 401 {
		t.Errorf("answered %d %s", res.Code, res.Body)
	}
}

func TestSignUp_IsRefusedWhenItIsClosed(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.ClosedSignUp = true })
	res := send(t, h, "POST", "/user/create", `{"username":"eve","password":"correct horse battery"}`, nil)
	if res.Code != 403 {
		t.Errorf("answered %d %s", res.Code, res.Body)
	}
	if res := send(t, h, "POST", "/user/login", `{"username":"eve","password":"correct horse battery"}`, nil); res.Code != 401 {
		t.Errorf("the refused user logs in: %d", res.Code)
	}
}
