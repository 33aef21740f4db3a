package connection_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
)

// ownApplication installs the module whose application the person brings, and returns a filled-in form.
func (r *rig) ownApplication() map[string]any {
	r.install(r.vendor.changed(typedAddress))
	return map[string]any{"base_url": r.vendor.URL, "client_id": r.vendor.id, "client_secret": r.vendor.secret}
}

func refuseWith(code string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { oauthError(w, 400, code) }
}

// Gitea says unauthorized_client of a wrong secret, an unknown code and a spent refresh token alike.
func TestApplication_ThatThePersonBroughtIsTheirsToMend(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	form := r.ownApplication()
	form["client_secret"] = "mistyped"
	next, err := r.Authorize(t.Context(), r.mine, "crm", form)
	check(t, err)
	_, err = r.Authorize(t.Context(), r.mine, "crm", visit(t, next.URL))
	wants(t, err, fault.Invalid, fault.Remote)
	says(t, err, "invalid_client", "check the client id and secret that were filled in")
	r.nothing()
}

func TestApplication_RefusedAtARenewalEndsTheConnectionOfWhoBroughtIt(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"unauthorized_client", "invalid_client"} {
		r := newRig(t)
		next, err := r.Authorize(t.Context(), r.mine, "crm", r.ownApplication())
		check(t, err)
		got, err := r.Authorize(t.Context(), r.mine, "crm", visit(t, next.URL))
		check(t, err)
		r.clock.advance(2 * time.Hour)
		r.vendor.tokenFails = append(r.vendor.tokenFails, refuseWith(code))
		_, err = r.get(got.EntityID, "/things")
		wants(t, err, fault.Unauthorized, fault.Remote)
		if c := r.credential(got.CredentialID); c.Status != connection.Invalid {
			t.Errorf("%s: the credential is %s", code, c.Status)
		}
	}
}

// An operator's slip must not cost every person their connection.
func TestApplication_OfTheOperatorsRefusedAtARenewalKeepsTheConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.connect()
	r.clock.advance(2 * time.Hour)
	r.vendor.tokenFails = append(r.vendor.tokenFails, refuseWith("unauthorized_client"))
	_, err := r.get(got.EntityID, "/things")
	wants(t, err, fault.Unavailable, fault.Host)
	if c := r.credential(got.CredentialID); c.Status != connection.OK {
		t.Errorf("the credential is %s", c.Status)
	}
}
