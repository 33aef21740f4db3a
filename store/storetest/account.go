package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
	"github.com/google/go-cmp/cmp"
)

// noon is a time with microseconds, which is what columns keep.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)

func runAccount(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, test := range map[string]func(t *testing.T, s account.Store){
		"UserComesBackAsSaved":       userComesBackAsSaved,
		"UnknownUserIsNotFound":      unknownUserIsNotFound,
		"TakenNameIsConflict":        takenNameIsConflict,
		"CreateUserIsAllOrNothing":   createUserIsAllOrNothing,
		"TokenEndsWithItsUser":       tokenEndsWithItsUser,
		"OnlyExpiredTokensAreGone":   onlyExpiredTokensAreGone,
		"HashIsUpgradedOnlyOnce":     hashIsUpgradedOnlyOnce,
		"AppUsersAreFoundOrCreated":  appUsersAreFoundOrCreated,
		"OrganizationWithPeopleStay": organizationWithPeopleStays,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func ada() *account.User {
	return &account.User{
		ID: account.NewID(), Kind: account.Individual, CreatedAt: noon, Username: "ada", Email: "ada@example.org",
		AppUserID: "u-1", PasswordHash: secret.NewText("$argon2id$of ada"),
	}
}

func acme() *account.User {
	return &account.User{ID: account.NewID(), Kind: account.Organization, CreatedAt: noon, AppOrgID: "o-1", Name: "Acme"}
}

func tokenOf(u *account.User, first byte, expires time.Time) *account.Token {
	return &account.Token{Hash: account.TokenHash{first}, User: u.ID, IssuedAt: noon, ExpiresAt: expires}
}

func userComesBackAsSaved(t *testing.T, s account.Store) {
	org, u := acme(), ada()
	u.Organization = org.ID
	token := tokenOf(u, 7, noon.Add(time.Hour))
	must(t, s.CreateUser(t.Context(), token, org, u))
	for name, read := range map[string]func() (*account.User, error){
		"id":       func() (*account.User, error) { return s.UserByID(t.Context(), u.ID) },
		"username": func() (*account.User, error) { return s.UserByUsername(t.Context(), u.Username) },
		"app id":   func() (*account.User, error) { return s.UserByAppUserID(t.Context(), u.AppUserID) },
		"token": func() (*account.User, error) {
			kept, of, err := s.TokenByHash(t.Context(), token.Hash)
			same(t, kept, token)
			return of, err
		},
	} {
		got, err := read()
		must(t, err)
		t.Log(name)
		same(t, got, u)
	}
	got, err := s.UserByAppOrgID(t.Context(), org.AppOrgID)
	must(t, err)
	same(t, got, org)
}

func unknownUserIsNotFound(t *testing.T, s account.Store) {
	must(t, s.CreateUser(t.Context(), nil, ada()))
	for name, read := range map[string]func() error{
		"UserByID":        func() error { _, err := s.UserByID(t.Context(), account.NewID()); return err },
		"UserByUsername":  func() error { _, err := s.UserByUsername(t.Context(), "Ada"); return err },
		"no username":     func() error { _, err := s.UserByUsername(t.Context(), ""); return err },
		"UserByAppUserID": func() error { _, err := s.UserByAppUserID(t.Context(), "o-1"); return err },
		"UserByAppOrgID":  func() error { _, err := s.UserByAppOrgID(t.Context(), "u-1"); return err },
		"TokenByHash":     func() error { _, _, err := s.TokenByHash(t.Context(), account.TokenHash{9}); return err },
		"DeleteUser":      func() error { return s.DeleteUser(t.Context(), account.NewID()) },
	} {
		t.Run(name, func(t *testing.T) { isKind(t, read(), fault.NotFound) })
	}
}

func takenNameIsConflict(t *testing.T, s account.Store) {
	must(t, s.CreateUser(t.Context(), nil, ada(), acme()))
	for name, u := range map[string]*account.User{
		"username":    {ID: account.NewID(), Kind: account.Individual, CreatedAt: noon, Username: "ada"},
		"app user id": {ID: account.NewID(), Kind: account.Individual, CreatedAt: noon, AppUserID: "u-1"},
		"app org id":  {ID: account.NewID(), Kind: account.Organization, CreatedAt: noon, AppOrgID: "o-1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.CreateUser(t.Context(), nil, u)
			isKind(t, err, fault.Conflict)
			if msg := fault.PublicMessage(err); strings.Contains(msg, "UNIQUE") || strings.Contains(msg, "users.") {
				t.Errorf("the message shows SQL: %q", msg)
			}
		})
	}
	t.Run("nameless users never collide", func(t *testing.T) {
		for range 2 {
			must(t, s.CreateUser(t.Context(), nil, &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: noon}))
		}
	})
}

func createUserIsAllOrNothing(t *testing.T, s account.Store) {
	first := acme()
	orphan := ada()
	orphan.Organization = account.NewID() // does not exist
	isKind(t, s.CreateUser(t.Context(), nil, first, orphan), fault.Conflict)
	_, err := s.UserByID(t.Context(), first.ID)
	isKind(t, err, fault.NotFound)
}

func tokenEndsWithItsUser(t *testing.T, s account.Store) {
	u, other := ada(), acme()
	mine, theirs := tokenOf(u, 1, noon.Add(time.Hour)), tokenOf(other, 2, noon.Add(time.Hour))
	must(t, s.CreateUser(t.Context(), mine, u))
	must(t, s.CreateUser(t.Context(), theirs, other))
	must(t, s.DeleteUser(t.Context(), u.ID))
	_, _, err := s.TokenByHash(t.Context(), mine.Hash)
	isKind(t, err, fault.NotFound)
	_, _, err = s.TokenByHash(t.Context(), theirs.Hash)
	must(t, err)
}

func onlyExpiredTokensAreGone(t *testing.T, s account.Store) {
	u := ada()
	must(t, s.CreateUser(t.Context(), nil, u))
	for i := range 5 {
		must(t, s.LoggedIn(t.Context(), tokenOf(u, byte(i), noon.Add(time.Duration(i)*time.Second)), account.HashUpgrade{}))
	}
	for _, want := range []int{2, 1, 0} { // three have expired two seconds after noon
		n, err := s.DeleteExpiredTokens(t.Context(), noon.Add(2*time.Second), 2)
		must(t, err)
		same(t, n, want)
	}
	_, _, err := s.TokenByHash(t.Context(), account.TokenHash{3})
	must(t, err)
	must(t, s.DeleteToken(t.Context(), account.TokenHash{3}))
	must(t, s.DeleteToken(t.Context(), account.TokenHash{3}))
	must(t, s.DeleteTokens(t.Context(), u.ID))
	_, _, err = s.TokenByHash(t.Context(), account.TokenHash{4})
	isKind(t, err, fault.NotFound)
}

func hashIsUpgradedOnlyOnce(t *testing.T, s account.Store) {
	u := ada()
	must(t, s.CreateUser(t.Context(), nil, u))
	better, late := secret.NewText("$better"), secret.NewText("$late")
	must(t, s.LoggedIn(t.Context(), tokenOf(u, 1, noon), account.HashUpgrade{From: u.PasswordHash, To: better}))
	must(t, s.LoggedIn(t.Context(), tokenOf(u, 2, noon), account.HashUpgrade{From: u.PasswordHash, To: late}))
	got, err := s.UserByID(t.Context(), u.ID)
	must(t, err)
	same(t, got.PasswordHash, better)
}

func appUsersAreFoundOrCreated(t *testing.T, s account.Store) {
	u, org := ada(), acme()
	gotUser, gotOrg, err := s.EnsureAppUsers(t.Context(), u, nil)
	must(t, err)
	same(t, gotUser, u)
	same(t, gotOrg, nil)

	again := *u
	again.ID = account.NewID()
	gotUser, gotOrg, err = s.EnsureAppUsers(t.Context(), &again, org)
	must(t, err)
	same(t, gotUser.ID, u.ID)
	same(t, gotUser.Organization, org.ID)
	same(t, gotOrg, org)

	elsewhere := *org
	elsewhere.ID, elsewhere.AppOrgID = account.NewID(), "o-2"
	gotUser, _, err = s.EnsureAppUsers(t.Context(), &again, &elsewhere)
	must(t, err)
	same(t, gotUser.Organization, org.ID)
}

func organizationWithPeopleStays(t *testing.T, s account.Store) {
	org, u := acme(), ada()
	u.Organization = org.ID
	must(t, s.CreateUser(t.Context(), nil, org, u))
	isKind(t, s.DeleteUser(t.Context(), org.ID), fault.Conflict)
	must(t, s.DeleteUser(t.Context(), u.ID))
	must(t, s.DeleteUser(t.Context(), org.ID))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if got := fault.KindOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func same[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(secret.Text.Equal)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
