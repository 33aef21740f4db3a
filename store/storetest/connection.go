package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/store"
)

func runConnection(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, test := range map[string]func(*testing.T, *store.DB){
		"ConnectionComesBackAsSaved":          connectionComesBack,
		"ForeignConnectionIsNotFound":         foreignConnection,
		"AStateIsTakenOnceByItsUser":          stateTakenOnce,
		"StatesExpireAndDoNotPileUp":          statesBounded,
		"AuthorisingAgainKeepsTheEntity":      authorisingAgain,
		"AbandonedCredentialsGo":              abandonedCredentials,
		"AnEntityNeedsACredentialOfItsModule": entityNeedsCredential,
		"OneHolderRenewsAVersion":             oneHolderRenews,
		"ALostLeaseStoresNothing":             lostLease,
		"AFailedRenewalPausesOthers":          failedRenewal,
		"InvalidityLosesToANewVersion":        invalidity,
		"KeepingValuesWaitsForARenewal":       keepingValues,
		"TheLastEntityTakesItsCredential":     lastEntity,
		"EntityValuesAreBounded":              entityValuesBounded,
		"EntityKeysAreListedInByteOrder":      entityKeys,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, open(t)) })
	}
}

// users makes two users who own things.
func users(t *testing.T, db *store.DB) (mine, theirs account.Actor) {
	t.Helper()
	a := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: noon}
	b := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: noon}
	must(t, db.CreateUser(t.Context(), nil, a, b))
	return account.Actor{User: a.ID, Owner: account.Owner(a.ID)}, account.Actor{User: b.ID, Owner: account.Owner(b.ID)}
}

func credentialOf(a account.Actor) *connection.Credential {
	return &connection.Credential{
		ID: connection.NewCredentialID(), Owner: a.Owner, Module: "crm", Status: connection.OK, Sealed: "v1.sealed",
		Version: 1, ExpiresAt: noon.Add(time.Hour), RenewAt: noon.Add(59 * time.Minute), CreatedAt: noon, UpdatedAt: noon,
	}
}

func entityOf(c *connection.Credential, external string) *connection.Entity {
	return &connection.Entity{
		ID: connection.NewEntityID(), Owner: c.Owner, Module: c.Module, Credential: c.ID, ExternalID: external,
		SubType: "org", Name: "Acme", Details: json.RawMessage(`{"plan":"pro"}`), Status: connection.OK, CreatedAt: noon, UpdatedAt: noon,
	}
}

// linked saves a credential with one entity.
func linked(t *testing.T, db *store.DB, a account.Actor, external string) (*connection.Credential, *connection.Entity) {
	t.Helper()
	c := credentialOf(a)
	saved, err := db.CompleteAuthorization(t.Context(), c, []*connection.Entity{entityOf(c, external)}, noon)
	must(t, err)
	return c, saved[0]
}

func connectionComesBack(t *testing.T, db *store.DB) {
	mine, _ := users(t, db)
	c := credentialOf(mine)
	e := entityOf(c, "7")
	bare := entityOf(c, "8")
	bare.SubType, bare.Name, bare.Details = "", "", nil
	saved, err := db.CompleteAuthorization(t.Context(), c, []*connection.Entity{e, bare}, noon)
	must(t, err)
	same(t, saved, []*connection.Entity{e, bare})
	gotEntity, gotCredential, err := db.Connection(t.Context(), mine.Owner, e.ID)
	must(t, err)
	same(t, gotEntity, e)
	same(t, gotCredential, c)
	gotEntity, err = db.EntityByID(t.Context(), mine.Owner, bare.ID)
	must(t, err)
	same(t, gotEntity, bare)
	gotCredential, err = db.CredentialByID(t.Context(), mine.Owner, c.ID)
	must(t, err)
	same(t, gotCredential, c)
	list, err := db.Entities(t.Context(), mine.Owner)
	must(t, err)
	same(t, list, []*connection.Entity{e, bare})
}

func foreignConnection(t *testing.T, db *store.DB) {
	mine, theirs := users(t, db)
	c, e := linked(t, db, mine, "7")
	must(t, db.PutEntityValue(t.Context(), mine.Owner, e.ID, "k", json.RawMessage(`1`), 1000, noon))
	foreign := *c
	foreign.Owner = theirs.Owner
	for name, act := range map[string]func(ctx context.Context, o account.Owner) error{
		"CredentialByID": func(ctx context.Context, o account.Owner) error {
			_, err := db.CredentialByID(ctx, o, c.ID)
			return err
		},
		"EntityByID": func(ctx context.Context, o account.Owner) error { _, err := db.EntityByID(ctx, o, e.ID); return err },
		"Connection": func(ctx context.Context, o account.Owner) error { _, _, err := db.Connection(ctx, o, e.ID); return err },
		"RemoveEntity": func(ctx context.Context, o account.Owner) error {
			_, err := db.RemoveEntity(ctx, o, e.ID, noon)
			return err
		},
		"RemoveCredential": func(ctx context.Context, o account.Owner) error {
			_, err := db.RemoveCredential(ctx, o, c.ID, noon)
			return err
		},
		"EntityValue": func(ctx context.Context, o account.Owner) error {
			_, err := db.EntityValue(ctx, o, e.ID, "k")
			return err
		},
		"DeleteEntityValue": func(ctx context.Context, o account.Owner) error { return db.DeleteEntityValue(ctx, o, e.ID, "k") },
		"EntityValueKeys": func(ctx context.Context, o account.Owner) error {
			_, err := db.EntityValueKeys(ctx, o, e.ID, "", "", 9)
			return err
		},
		"PutEntityValue": func(ctx context.Context, o account.Owner) error {
			return db.PutEntityValue(ctx, o, e.ID, "k", json.RawMessage(`2`), 1000, noon)
		},
		"AttachEntity": func(ctx context.Context, o account.Owner) error {
			stolen := entityOf(c, "9")
			stolen.Owner = o
			_, err := db.AttachEntity(ctx, stolen)
			return err
		},
	} {
		isKind(t, act(t.Context(), theirs.Owner), fault.NotFound)
		isKind(t, act(t.Context(), ""), fault.NotFound)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	leased, err := db.LeaseCredential(t.Context(), &foreign, connection.Lease{Holder: "h", Until: noon.Add(time.Minute)}, noon)
	must(t, err)
	same(t, leased, nil)
	for _, act := range []func() (bool, error){
		func() (bool, error) {
			return db.RenewCredential(t.Context(), &foreign, "h", connection.Renewal{Sealed: "x", At: noon})
		},
		func() (bool, error) { return db.InvalidateCredential(t.Context(), &foreign, "", noon) },
		func() (bool, error) { return db.RestoreCredential(t.Context(), &foreign, noon) },
		func() (bool, error) { return db.KeepValues(t.Context(), &foreign, "x", noon) },
	} {
		changed, err := act()
		must(t, err)
		same(t, changed, false)
	}
	got, err := db.CredentialByID(t.Context(), mine.Owner, c.ID)
	must(t, err)
	same(t, got, c)
	list, err := db.Entities(t.Context(), theirs.Owner)
	must(t, err)
	same(t, list, []*connection.Entity{})
}

func stateOf(a account.Actor, first byte, at time.Time) *connection.State {
	return &connection.State{
		Hash: connection.StateHash{first}, Owner: a.Owner, User: a.User, Module: "crm", Sealed: "v1.sealed",
		CreatedAt: at, ExpiresAt: at.Add(10 * time.Minute),
	}
}

func stateTakenOnce(t *testing.T, db *store.DB) {
	mine, theirs := users(t, db)
	st := stateOf(mine, 1, noon)
	must(t, db.BeginAuthorization(t.Context(), st, 10))
	for name, a := range map[string]account.Actor{"other user": theirs, "other user, same owner": {User: theirs.User, Owner: mine.Owner}, "nobody": {}} {
		_, err := db.TakeState(t.Context(), a, "crm", st.Hash)
		t.Log(name)
		isKind(t, err, fault.NotFound)
	}
	_, err := db.TakeState(t.Context(), mine, "other", st.Hash)
	isKind(t, err, fault.NotFound)

	var taken atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := db.TakeState(t.Context(), mine, "crm", st.Hash); err == nil {
				taken.Add(1)
				same(t, got, st)
			}
		})
	}
	wg.Wait()
	same(t, taken.Load(), 1)
}

func statesBounded(t *testing.T, db *store.DB) {
	mine, theirs := users(t, db)
	must(t, db.BeginAuthorization(t.Context(), stateOf(theirs, 100, noon), 3))
	for i := range byte(5) {
		must(t, db.BeginAuthorization(t.Context(), stateOf(mine, i, noon.Add(time.Duration(i)*time.Second)), 3))
	}
	for i, want := range []fault.Kind{fault.NotFound, fault.NotFound, "", "", ""} {
		_, err := db.TakeState(t.Context(), mine, "crm", connection.StateHash{byte(i)})
		isKind(t, err, want)
	}
	must(t, db.BeginAuthorization(t.Context(), stateOf(mine, 9, noon.Add(10*time.Minute)), 3))
	_, err := db.TakeState(t.Context(), theirs, "crm", connection.StateHash{100})
	isKind(t, err, fault.NotFound)
}

func authorisingAgain(t *testing.T, db *store.DB) {
	mine, theirs := users(t, db)
	old, e := linked(t, db, mine, "7")
	_, other := linked(t, db, theirs, "7")
	must(t, db.PutEntityValue(t.Context(), mine.Owner, e.ID, "k", json.RawMessage(`1`), 1000, noon))

	fresh := credentialOf(mine)
	again := entityOf(fresh, "7")
	again.Name, again.Details, again.UpdatedAt = "Acme Ltd", nil, noon.Add(time.Hour)
	saved, err := db.CompleteAuthorization(t.Context(), fresh, []*connection.Entity{again}, noon)
	must(t, err)
	want := *again
	want.ID = e.ID
	same(t, saved, []*connection.Entity{&want})
	_, err = db.CredentialByID(t.Context(), mine.Owner, old.ID)
	isKind(t, err, fault.NotFound)
	_, err = db.EntityValue(t.Context(), mine.Owner, e.ID, "k")
	must(t, err)
	_, _, err = db.Connection(t.Context(), theirs.Owner, other.ID)
	must(t, err)
}

func abandonedCredentials(t *testing.T, db *store.DB) {
	mine, theirs := users(t, db)
	save := func(a account.Actor, module string, at time.Time) connection.CredentialID {
		c := credentialOf(a)
		c.Module, c.CreatedAt = module, at
		_, err := db.CompleteAuthorization(t.Context(), c, nil, noon.Add(-24*time.Hour))
		must(t, err)
		return c.ID
	}
	left, recent := save(mine, "crm", noon.Add(-2*time.Hour)), save(mine, "crm", noon)
	elsewhere, foreign := save(mine, "shop", noon.Add(-2*time.Hour)), save(theirs, "crm", noon.Add(-2*time.Hour))
	used, _ := linked(t, db, mine, "7")
	_, err := db.CompleteAuthorization(t.Context(), credentialOf(mine), nil, noon.Add(-time.Hour))
	must(t, err)
	for _, c := range []struct {
		owner account.Owner
		id    connection.CredentialID
		want  fault.Kind
	}{{mine.Owner, left, fault.NotFound}, {mine.Owner, recent, ""}, {mine.Owner, elsewhere, ""}, {theirs.Owner, foreign, ""}, {mine.Owner, used.ID, ""}} {
		_, err := db.CredentialByID(t.Context(), c.owner, c.id)
		isKind(t, err, c.want)
	}
}

func entityNeedsCredential(t *testing.T, db *store.DB) {
	mine, theirs := users(t, db)
	c, _ := linked(t, db, mine, "7")
	foreign, _ := linked(t, db, theirs, "7")
	for name, e := range map[string]*connection.Entity{
		"foreign credential": func() *connection.Entity { e := entityOf(c, "9"); e.Credential = foreign.ID; return e }(),
		"other module":       func() *connection.Entity { e := entityOf(c, "9"); e.Module = "shop"; return e }(),
		"unknown credential": func() *connection.Entity { e := entityOf(c, "9"); e.Credential = "cred_x"; return e }(),
	} {
		_, err := db.AttachEntity(t.Context(), e)
		t.Log(name)
		isKind(t, err, fault.NotFound)
	}
	list, err := db.Entities(t.Context(), mine.Owner)
	must(t, err)
	same(t, len(list), 1)
}

func oneHolderRenews(t *testing.T, db *store.DB) {
	mine, _ := users(t, db)
	c, _ := linked(t, db, mine, "7")
	var holders sync.Map
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			l := connection.Lease{Holder: fmt.Sprint("h", i), Until: noon.Add(time.Minute)}
			leased, err := db.LeaseCredential(t.Context(), c, l, noon)
			if err == nil && leased != nil {
				holders.Store(l.Holder, leased)
			}
		})
	}
	wg.Wait()
	n := 0
	holders.Range(func(holder, leased any) bool {
		n++
		same(t, leased.(*connection.Credential), c)
		r := connection.Renewal{Sealed: "v1.better", ExpiresAt: noon.Add(2 * time.Hour), RenewAt: noon.Add(110 * time.Minute), RefusedAt: noon, At: noon.Add(time.Second)}
		for _, try := range []struct {
			holder string
			want   bool
		}{{"somebody", false}, {holder.(string), true}, {holder.(string), false}} {
			stored, err := db.RenewCredential(t.Context(), c, try.holder, r)
			must(t, err)
			same(t, stored, try.want)
		}
		got, err := db.CredentialByID(t.Context(), mine.Owner, c.ID)
		must(t, err)
		want := *c
		want.Sealed, want.Version, want.ExpiresAt, want.RenewAt, want.RefusedAt, want.UpdatedAt = r.Sealed, 2, r.ExpiresAt, r.RenewAt, r.RefusedAt, r.At
		same(t, got, &want)
		return true
	})
	same(t, n, 1)
	leased, err := db.LeaseCredential(t.Context(), c, connection.Lease{Holder: "late", Until: noon.Add(time.Minute)}, noon)
	must(t, err)
	same(t, leased, nil) // c is an old version
}

func lostLease(t *testing.T, db *store.DB) {
	mine, _ := users(t, db)
	c, _ := linked(t, db, mine, "7")
	lease := func(holder string, at time.Time) bool {
		leased, err := db.LeaseCredential(t.Context(), c, connection.Lease{Holder: holder, Until: at.Add(time.Minute)}, at)
		must(t, err)
		return leased != nil
	}
	same(t, lease("first", noon), true)
	same(t, lease("second", noon.Add(59*time.Second)), false)
	same(t, lease("second", noon.Add(time.Minute)), true)
	stored, err := db.RenewCredential(t.Context(), c, "first", connection.Renewal{Sealed: "x", At: noon})
	must(t, err)
	same(t, stored, false)
	must(t, db.ReleaseCredential(t.Context(), c, "first", noon.Add(time.Hour)))
	same(t, lease("third", noon.Add(61*time.Second)), false)
	stored, err = db.RenewCredential(t.Context(), c, "second", connection.Renewal{Sealed: "y", At: noon})
	must(t, err)
	same(t, stored, true)
}

func failedRenewal(t *testing.T, db *store.DB) {
	mine, _ := users(t, db)
	c, _ := linked(t, db, mine, "7")
	lease := func(at time.Time) bool {
		leased, err := db.LeaseCredential(t.Context(), c, connection.Lease{Holder: "h", Until: at.Add(time.Minute)}, at)
		must(t, err)
		return leased != nil
	}
	same(t, lease(noon), true)
	must(t, db.ReleaseCredential(t.Context(), c, "h", noon.Add(15*time.Second)))
	got, err := db.CredentialByID(t.Context(), mine.Owner, c.ID)
	must(t, err)
	same(t, got.RetryAt, noon.Add(15*time.Second))
	same(t, got.Version, c.Version)
	same(t, lease(noon.Add(14*time.Second)), false)
	same(t, lease(noon.Add(15*time.Second)), true)
}

func invalidity(t *testing.T, db *store.DB) {
	mine, _ := users(t, db)
	c, e := linked(t, db, mine, "7")
	leased, err := db.LeaseCredential(t.Context(), c, connection.Lease{Holder: "h", Until: noon.Add(time.Minute)}, noon)
	must(t, err)
	same(t, leased != nil, true)
	changed, err := db.InvalidateCredential(t.Context(), c, "", noon) // somebody is renewing it
	must(t, err)
	same(t, changed, false)
	stored, err := db.RenewCredential(t.Context(), c, "h", connection.Renewal{Sealed: "x", At: noon})
	must(t, err)
	same(t, stored, true)
	changed, err = db.InvalidateCredential(t.Context(), c, "", noon) // an old version
	must(t, err)
	same(t, changed, false)
	now, err := db.CredentialByID(t.Context(), mine.Owner, c.ID)
	must(t, err)
	changed, err = db.InvalidateCredential(t.Context(), now, "", noon)
	must(t, err)
	same(t, changed, true)
	got, err := db.EntityByID(t.Context(), mine.Owner, e.ID)
	must(t, err)
	same(t, got.Status, connection.Invalid)
	dead, err := db.CredentialByID(t.Context(), mine.Owner, c.ID)
	must(t, err)
	leased, err = db.LeaseCredential(t.Context(), dead, connection.Lease{Holder: "h", Until: noon.Add(time.Hour)}, noon.Add(time.Hour))
	must(t, err)
	same(t, leased, nil)
	changed, err = db.RestoreCredential(t.Context(), dead, noon)
	must(t, err)
	same(t, changed, true)
	got, err = db.EntityByID(t.Context(), mine.Owner, e.ID)
	must(t, err)
	same(t, got.Status, connection.OK)
}

func keepingValues(t *testing.T, db *store.DB) {
	mine, _ := users(t, db)
	c, _ := linked(t, db, mine, "7")
	leased, err := db.LeaseCredential(t.Context(), c, connection.Lease{Holder: "h", Until: noon.Add(time.Minute)}, noon)
	must(t, err)
	same(t, leased != nil, true)
	for _, try := range []struct {
		at   time.Time
		want bool
	}{{noon, false}, {noon.Add(time.Minute), true}, {noon.Add(time.Minute), false}} {
		stored, err := db.KeepValues(t.Context(), c, "v1.kept", try.at)
		must(t, err)
		same(t, stored, try.want)
	}
	got, err := db.CredentialByID(t.Context(), mine.Owner, c.ID)
	must(t, err)
	same(t, got.Sealed, "v1.kept")
	same(t, got.Version, 2)
}

func lastEntity(t *testing.T, db *store.DB) {
	mine, _ := users(t, db)
	c := credentialOf(mine)
	saved, err := db.CompleteAuthorization(t.Context(), c, []*connection.Entity{entityOf(c, "1"), entityOf(c, "2")}, noon)
	must(t, err)
	must(t, db.PutEntityValue(t.Context(), mine.Owner, saved[0].ID, "k", json.RawMessage(`1`), 1000, noon))
	gone, err := db.RemoveEntity(t.Context(), mine.Owner, saved[0].ID, noon)
	must(t, err)
	same(t, gone, nil)
	gone, err = db.RemoveEntity(t.Context(), mine.Owner, saved[1].ID, noon)
	must(t, err)
	same(t, gone, c)
	_, err = db.CredentialByID(t.Context(), mine.Owner, c.ID)
	isKind(t, err, fault.NotFound)

	c, e := linked(t, db, mine, "3")
	gone, err = db.RemoveCredential(t.Context(), mine.Owner, c.ID, noon)
	must(t, err)
	same(t, gone, c)
	_, err = db.EntityByID(t.Context(), mine.Owner, e.ID)
	isKind(t, err, fault.NotFound)
}

func entityValuesBounded(t *testing.T, db *store.DB) {
	mine, _ := users(t, db)
	_, e := linked(t, db, mine, "7")
	put := func(key, text string) error {
		return db.PutEntityValue(t.Context(), mine.Owner, e.ID, key, json.RawMessage(text), 400, noon)
	}
	big := `"` + strings.Repeat("x", 198) + `"`
	must(t, put("a", big)) // costs 265
	isKind(t, put("b", big), fault.TooLarge)
	_, err := db.EntityValue(t.Context(), mine.Owner, e.ID, "b")
	isKind(t, err, fault.NotFound)
	for range 5 {
		must(t, put("a", big)) // replacing costs nothing more
	}
	must(t, put("b", `1`))
	must(t, db.DeleteEntityValue(t.Context(), mine.Owner, e.ID, "a"))
	must(t, db.DeleteEntityValue(t.Context(), mine.Owner, e.ID, "a"))
	must(t, put("c", big))
	got, err := db.EntityValue(t.Context(), mine.Owner, e.ID, "c")
	must(t, err)
	same(t, string(got), big)
}

func entityKeys(t *testing.T, db *store.DB) {
	mine, _ := users(t, db)
	_, e := linked(t, db, mine, "7")
	for _, key := range []string{"b", "a/2", "ä", "a/10", "A", "a/1", "%", "_", "a"} {
		must(t, db.PutEntityValue(t.Context(), mine.Owner, e.ID, key, json.RawMessage(`1`), 1<<20, noon))
	}
	for name, test := range map[string]struct {
		prefix, after string
		limit         int
		want          []string
	}{
		"all":          {"", "", 99, []string{"%", "A", "_", "a", "a/1", "a/10", "a/2", "b", "ä"}},
		"prefix":       {"a/", "", 99, []string{"a/1", "a/10", "a/2"}},
		"page":         {"a/", "a/1", 1, []string{"a/10"}},
		"not a joker":  {"_", "", 99, []string{"_"}},
		"beyond ASCII": {"ä", "", 99, []string{"ä"}},
		"none":         {"zz", "", 99, []string{}},
	} {
		keys, err := db.EntityValueKeys(t.Context(), mine.Owner, e.ID, test.prefix, test.after, test.limit)
		must(t, err)
		t.Log(name)
		same(t, keys, test.want)
	}
}
