package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/google/go-cmp/cmp"
)

// household is a row of everything that is cached.
type household struct {
	owner      account.Owner
	token      account.TokenHash
	credential *connection.Credential
	entity     connection.EntityID
	record     integration.ID
}

func settle(t *testing.T, db *DB) (h household) {
	t.Helper()
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	u := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: at}
	h.owner, h.token = account.Owner(u.ID), account.TokenHash{1, 2, 3}
	noError(t, db.CreateUser(t.Context(), &account.Token{Hash: h.token, User: u.ID, IssuedAt: at, ExpiresAt: at.Add(time.Hour)}, u))
	h.credential = &connection.Credential{
		ID: connection.NewCredentialID(), Owner: h.owner, Module: "crm", Status: connection.OK, Sealed: "sealed", Version: 1, CreatedAt: at, UpdatedAt: at,
	}
	entities, err := db.CompleteAuthorization(t.Context(), h.credential, []*connection.Entity{{
		ID: connection.NewEntityID(), Owner: h.owner, Module: "crm", Credential: h.credential.ID, ExternalID: "a",
		Details: json.RawMessage(`{"plan":"pro"}`), CreatedAt: at, UpdatedAt: at,
	}}, at)
	noError(t, err)
	h.entity = entities[0].ID
	in := &integration.Integration{
		ID: integration.NewID(), Owner: h.owner, Plugin: "sync", Version: "1", Status: abi.StatusEnabled, Config: json.RawMessage(`{"a":1}`),
		Members: []integration.Member{{Role: "crm", Entity: h.entity}}, CreatedAt: at, UpdatedAt: at,
	}
	h.record = in.ID
	noError(t, db.CreateIntegration(t.Context(), in, job.New{ID: job.NewID(), Owner: h.owner, Lane: "l", Kind: "k", CreatedAt: at}))
	noError(t, db.PluginSettingSet(t.Context(), &plugin.StoredSetting{Plugin: "crm", Name: "key", Value: "old", Sealed: true, At: at}))
	return h
}

// cachedReads are all reads that go through the cache.
var cachedReads = []struct {
	name string
	read func(context.Context, *DB, household) (any, error)
	// change commits something that makes the read answer otherwise.
	change func(context.Context, *DB, household) error
	// spoil changes what the read returned.
	spoil func(any)
}{
	{
		"token",
		func(ctx context.Context, db *DB, h household) (any, error) {
			token, user, err := db.TokenByHash(ctx, h.token)
			return [2]any{token, user}, err
		},
		func(ctx context.Context, db *DB, h household) error { return db.DeleteToken(ctx, h.token) },
		func(v any) {
			*v.([2]any)[0].(*account.Token) = account.Token{}
			*v.([2]any)[1].(*account.User) = account.User{}
		},
	},
	{
		"entity",
		func(ctx context.Context, db *DB, h household) (any, error) {
			return db.EntityByID(ctx, h.owner, h.entity)
		},
		func(ctx context.Context, db *DB, h household) error {
			_, err := db.InvalidateCredential(ctx, h.credential, "", h.credential.CreatedAt)
			return err
		},
		func(v any) { e := v.(*connection.Entity); e.Details[0], e.Name = 'x', "spoiled" },
	},
	{
		"connection",
		func(ctx context.Context, db *DB, h household) (any, error) {
			e, c, err := db.Connection(ctx, h.owner, h.entity)
			return [2]any{e, c}, err
		},
		func(ctx context.Context, db *DB, h household) error {
			_, err := db.KeepValues(ctx, h.credential, "sealed anew", h.credential.CreatedAt)
			return err
		},
		func(v any) {
			v.([2]any)[0].(*connection.Entity).Details[0] = 'x'
			v.([2]any)[1].(*connection.Credential).Version++
		},
	},
	{
		"integration",
		func(ctx context.Context, db *DB, h household) (any, error) {
			return db.IntegrationByID(ctx, h.owner, h.record)
		},
		func(ctx context.Context, db *DB, h household) error {
			in, err := db.IntegrationByID(ctx, h.owner, h.record)
			if err != nil {
				return err
			}
			in.Config = json.RawMessage(`{"a":2}`)
			return db.SaveIntegration(ctx, in, nil, nil)
		},
		func(v any) {
			in := v.(*integration.Integration)
			in.Config[0], in.Members[0].Role, in.Status = 'x', "spoiled", "SPOILED"
		},
	},
	{
		"settings",
		func(ctx context.Context, db *DB, h household) (any, error) { return db.PluginSettings(ctx, "crm") },
		func(ctx context.Context, db *DB, h household) error {
			return db.PluginSettingCleared(ctx, "crm", "key")
		},
		func(v any) { v.([]*plugin.StoredSetting)[0].Value = "spoiled" },
	},
}

// answer is what a read says, as text. The error counts, too.
func answer(v any, err error) string {
	if err != nil {
		return string(fault.KindOf(err))
	}
	text, _ := json.Marshal(v)
	return string(text)
}

// TestCache_AChangeIsSeenByTheNextRead: whoever made it, also a process of its own, of which all that counts is that it has
// the file open for itself.
func TestCache_AChangeIsSeenByTheNextRead(t *testing.T) {
	t.Parallel()
	for _, c := range cachedReads {
		for _, who := range []string{"this host", "another host", "an act of several"} {
			t.Run(c.name+" by "+who, func(t *testing.T) {
				t.Parallel()
				path := file(t)
				db, err := Open(t.Context(), Config{DSN: path, Shared: true})
				noError(t, err)
				defer db.Close()
				changer := db
				if who == "another host" {
					changer, err = Open(t.Context(), Config{DSN: path, Shared: true})
					noError(t, err)
					defer changer.Close()
				}
				h := settle(t, db)
				read := func() string { return answer(c.read(t.Context(), db, h)) }
				before := read()
				if again := read(); again != before || len(db.cache.entries) == 0 {
					t.Fatalf("it says %s and then %s, and %d entries are kept", before, again, len(db.cache.entries))
				}
				if who == "an act of several" {
					noError(t, db.Together(t.Context(), func(ctx context.Context) error {
						if err := c.change(ctx, db, h); err != nil {
							return err
						}
						if inside := answer(c.read(ctx, db, h)); inside == before {
							t.Errorf("inside of the act it still says %s", inside)
						}
						return nil
					}))
				} else {
					noError(t, c.change(t.Context(), changer, h))
				}
				if after := read(); after == before {
					t.Errorf("it still says %s", after)
				}
			})
		}
	}
}

func TestCache_NobodyChangesWhatOthersGet(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{DSN: file(t)})
	noError(t, err)
	defer db.Close()
	h := settle(t, db)
	for _, c := range cachedReads {
		first, err := c.read(t.Context(), db, h)
		noError(t, err)
		want := answer(first, nil)
		for range 2 {
			got, err := c.read(t.Context(), db, h)
			noError(t, err)
			if diff := cmp.Diff(want, answer(got, nil)); diff != "" {
				t.Errorf("%s: -want +got\n%s", c.name, diff)
			}
			c.spoil(got)
		}
	}
}

// TestCache_AForeignIdIsNotFound: also right after its owner has read it.
func TestCache_AForeignIdIsNotFound(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{DSN: file(t)})
	noError(t, err)
	defer db.Close()
	h := settle(t, db)
	foreign := h
	foreign.owner = account.Owner(account.NewID())
	for _, c := range cachedReads[1:4] {
		_, err := c.read(t.Context(), db, h)
		noError(t, err)
		_, err = c.read(t.Context(), db, foreign)
		wantKind(t, err, fault.NotFound)
	}
}

// counting reads through a cache and returns how often it had to load.
func counting(t *testing.T, db *DB, id string, times int) (loads int) {
	t.Helper()
	for range times {
		_, err := cached(t.Context(), db, cacheKey{read: "test", id: id}, func() (int, error) { loads++; return loads, nil })
		noError(t, err)
	}
	return loads
}

func TestCache_LoadsOnceUntilSomethingHappens(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{DSN: file(t)})
	noError(t, err)
	defer db.Close()
	noError(t, db.Write(t.Context(), func(tx *Tx) error { _, err := tx.Exec(`CREATE TABLE numbers (n INTEGER PRIMARY KEY)`); return err }))
	now := time.Unix(1, 0)
	db.cache.clock = func() time.Time { return now }
	for _, c := range []struct {
		name string
		do   func()
		want int
	}{
		{"at first", func() {}, 1},
		{"nothing", func() {}, 0},
		{"a commit", func() { noError(t, db.Write(t.Context(), insert(1))) }, 1},
		{"a moment", func() { now = now.Add(cachedFor - 1) }, 0},
		{"a second", func() { now = now.Add(1) }, 1},
		{"a commit that a dead process never ended", func() { db.cache.revision.begin() }, 3},
		{"the next commit", func() { noError(t, db.Write(t.Context(), insert(2))) }, 1},
		{"too many entries", func() {
			for n := range maxEntries {
				counting(t, db, fmt.Sprint(n), 1)
			}
		}, 1},
	} {
		c.do()
		if got := counting(t, db, "x", 3); got != c.want {
			t.Errorf("after %s it loads %d times of 3, want %d", c.name, got, c.want)
		}
		if n := len(db.cache.entries); n > maxEntries {
			t.Errorf("%d entries", n)
		}
	}
	noError(t, db.Close())
	if got := counting(t, db, "x", 3); got != 3 {
		t.Errorf("after Close it loads %d times of 3", got)
	}
}

// TestCache_WhatWasReadBeforeACommitIsNotKeptAfterIt: a slow reader beside a writer and another reader.
func TestCache_WhatWasReadBeforeACommitIsNotKeptAfterIt(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{DSN: file(t)})
	noError(t, err)
	defer db.Close()
	key := cacheKey{read: "test", id: "slow"}
	_, err = cached(t.Context(), db, key, func() (string, error) {
		noError(t, db.Write(t.Context(), func(tx *Tx) error { _, err := tx.Exec(`CREATE TABLE numbers (n INTEGER)`); return err }))
		counting(t, db, "another", 1)
		return "old", nil
	})
	noError(t, err)
	got, err := cached(t.Context(), db, key, func() (string, error) { return "new", nil })
	noError(t, err)
	equal(t, got, "new")
}

// TestCache_ErrorsAreNotKept: what is not there now may be in a moment, and guesses must not fill the memory.
func TestCache_ErrorsAreNotKept(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{DSN: file(t)})
	noError(t, err)
	defer db.Close()
	for n := range 10 {
		_, _, err := db.TokenByHash(t.Context(), account.TokenHash{byte(n)})
		wantKind(t, err, fault.NotFound)
	}
	if n := len(db.cache.entries); n > 0 {
		t.Errorf("%d entries", n)
	}
}

// TestCache_NeverOlderThanWhatWasAcknowledged: readers beside two hosts that write see no number below the last that a
// write had returned before they asked.
func TestCache_NeverOlderThanWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	path := file(t)
	var hosts [2]*DB
	for i := range hosts {
		var err error
		hosts[i], err = Open(t.Context(), Config{DSN: path, Shared: true})
		noError(t, err)
		defer hosts[i].Close()
	}
	noError(t, hosts[0].Write(t.Context(), func(tx *Tx) error { _, err := tx.Exec(`CREATE TABLE numbers (n INTEGER PRIMARY KEY)`); return err }))
	var acknowledged atomic.Int64
	var writers, all sync.WaitGroup
	for i, db := range hosts {
		writers.Go(func() {
			for n := range 100 {
				if err := db.Write(context.Background(), func(tx *Tx) error {
					_, err := tx.Exec(`INSERT INTO numbers (n) SELECT 1 + coalesce(max(n), 0) FROM numbers`)
					return err
				}); err != nil {
					t.Errorf("host %d, write %d: %v", i, n, err)
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	done := make(chan struct{})
	for _, db := range hosts {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				least := acknowledged.Load()
				got, err := cached(context.Background(), db, cacheKey{read: "most"}, func() (int64, error) {
					return One(db.reader(context.Background()), Value[int64], `SELECT coalesce(max(n), 0) FROM numbers`)
				})
				if err != nil || got < least {
					t.Errorf("it reads %d (%v) after %d were written", got, err, least)
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	all.Wait()
	if acknowledged.Load() != 200 {
		t.Error("not everything was written")
	}
}

// TestRevision_IsUnknownWhileAnyCommitIsUnderWay: in whatever order they end.
func TestRevision_IsUnknownWhileAnyCommitIsUnderWay(t *testing.T) {
	t.Parallel()
	r := revisionIn(make([]byte, revisionBytes))
	known := func(want bool, n uint64) {
		t.Helper()
		if got, ok := r.now(); ok != want || want && got != n {
			t.Errorf("revision %d, known %t, want %d, %t", got, ok, n, want)
		}
	}
	known(true, 0)
	slow := r.begin()
	known(false, 0)
	next := r.begin() // the slow one is on disk, but has not said so
	r.end(slow)
	known(false, 0)
	r.end(next)
	known(true, 2)
	r.end(slow)
	known(true, 2)
	var none *revision
	none.end(none.begin())
	if _, ok := none.now(); ok {
		t.Error("nil knows")
	}
}
