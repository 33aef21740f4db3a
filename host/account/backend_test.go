package account_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
)

func TestBackend_CreatesNothingUnlessConfigured(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{})
	_, err := h.Backend(t.Context(), "u-1", "o-1")
	wantKind(t, err, fault.Unauthorized)
	_, err = h.db.UserByAppUserID(t.Context(), "u-1")
	wantKind(t, err, fault.NotFound)
	_, err = h.db.UserByAppOrgID(t.Context(), "o-1")
	wantKind(t, err, fault.NotFound)
}

// Each case plays calls in order on one database; the wanted owner is named by the app id of the user it is, or is a kind
// of fault.
func TestBackend_SaysInWhoseNameItActs(t *testing.T) {
	t.Parallel()
	type call struct{ user, org, want string }
	for name, c := range map[string]struct {
		config account.Config
		calls  []call
	}{
		"individual": {account.Config{CreateAppUsers: true}, []call{
			{"u-1", "", "u-1"}, {"u-1", "", "u-1"}, {"u-2", "", "u-2"},
		}},
		"individual with organisation": {account.Config{CreateAppUsers: true}, []call{
			{"u-1", "o-1", "u-1"}, {"u-2", "o-1", "u-2"}, {"u-1", "", "u-1"},
		}},
		"organisation alone cannot own": {account.Config{CreateAppUsers: true}, []call{
			{"", "o-1", "invalid"},
		}},
		"organisation": {account.Config{CreateAppUsers: true, Primary: account.Organization}, []call{
			{"", "o-1", "o-1"}, {"u-1", "o-1", "o-1"}, {"u-1", "", "o-1"}, {"u-2", "o-2", "o-2"}, {"u-2", "o-1", "forbidden"},
		}},
		"individual alone cannot own": {account.Config{CreateAppUsers: true, Primary: account.Organization}, []call{
			{"u-1", "", "invalid"}, {"u-1", "o-1", "o-1"}, {"u-1", "", "o-1"},
		}},
		"joins later": {account.Config{CreateAppUsers: true}, []call{
			{"u-1", "", "u-1"}, {"u-1", "o-1", "u-1"}, {"u-1", "o-2", "forbidden"},
		}},
		"known individual, unknown organisation": {account.Config{CreateAppUsers: true}, []call{
			{"u-1", "o-1", "u-1"}, {"u-1", "o-9", "forbidden"},
		}},
		"none": {account.Config{CreateAppUsers: true}, []call{{"", "", "invalid"}}},
		"bad ids": {account.Config{CreateAppUsers: true}, []call{
			{"u\x00", "", "invalid"}, {strings.Repeat("u", 255), "", "invalid"}, {"u-1", "o\xff", "invalid"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, c.config)
			for i, call := range c.calls {
				actor, err := h.Backend(t.Context(), call.user, call.org)
				if got := ownerOrFault(t, h, actor, err); got != call.want {
					t.Errorf("call %d (%q, %q): got %s, want %s", i, call.user, call.org, got, call.want)
				}
			}
			_, err := h.db.UserByAppOrgID(t.Context(), "o-9")
			wantKind(t, err, fault.NotFound) // what is refused creates nothing
		})
	}
}

func ownerOrFault(t *testing.T, h *house, a account.Actor, err error) string {
	t.Helper()
	if err != nil {
		return string(fault.KindOf(err))
	}
	u, err := h.db.UserByID(t.Context(), account.ID(a.Owner))
	noError(t, err)
	return u.AppUserID + u.AppOrgID
}

func TestBackend_RefusesStrangersAlsoIfItMayNotCreate(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{CreateAppUsers: true})
	_, err := h.Backend(t.Context(), "u-1", "")
	noError(t, err)
	_, err = h.Backend(t.Context(), "u-2", "o-1")
	noError(t, err)
	strict := buildOn(t, h.db, account.Config{})
	_, err = strict.Backend(t.Context(), "u-1", "o-1")
	wantKind(t, err, fault.Forbidden)
	_, err = strict.Backend(t.Context(), "u-2", "o-1")
	noError(t, err)
}

func TestBackend_FirstUseAtTheSameTimeMakesOneUser(t *testing.T) {
	t.Parallel()
	h := build(t, account.Config{CreateAppUsers: true})
	actors := make([]account.Actor, 16)
	var all sync.WaitGroup
	for i := range actors {
		all.Go(func() {
			var err error
			if actors[i], err = h.Backend(t.Context(), "u-1", "o-1"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, a := range actors {
		if a != actors[0] || a.Valid() != nil {
			t.Errorf("got %v and %v", a, actors[0])
		}
	}
}
