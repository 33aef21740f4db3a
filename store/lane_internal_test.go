package store

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
)

var morning = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// counted compares the counters with the jobs that they count, and returns what differs.
func counted(tb testing.TB, db *DB) []string {
	tb.Helper()
	const recount = `
		SELECT 'lane ' || l.owner || ' ' || l.name || ': ' || ready || ' ' || later || ' ' || keyed || ' ' || running FROM lanes AS l WHERE
			ready <> (SELECT count(*) FROM jobs AS j WHERE j.owner = l.owner AND j.lane = l.name AND state = 'queued' AND due) OR
			later <> (SELECT count(*) FROM jobs AS j WHERE j.owner = l.owner AND j.lane = l.name AND state = 'queued' AND NOT due) OR
			keyed <> (SELECT count(*) FROM jobs AS j WHERE j.owner = l.owner AND j.lane = l.name AND state = 'queued' AND unique_key IS NOT NULL) OR
			l.running <> (SELECT count(*) FROM jobs AS j WHERE j.owner = l.owner AND j.lane = l.name AND state = 'running')
		UNION ALL SELECT 'missing lane ' || owner || ' ' || lane FROM jobs WHERE state IN ('queued', 'running')
			AND NOT EXISTS (SELECT 1 FROM lanes WHERE lanes.owner = jobs.owner AND lanes.name = jobs.lane)
		UNION ALL SELECT 'tenant ' || owner || ': ' || t.open || ' ' || t.running FROM tenants AS t WHERE
			open <> (SELECT count(*) FROM lanes AS l WHERE l.owner = t.owner AND l.open = 1) OR
			running <> (SELECT count(*) FROM jobs AS j WHERE j.owner = t.owner AND state = 'running')
		UNION ALL SELECT 'limit ' || key || ': ' || m.running || ' ' || m.waiting FROM limits AS m WHERE
			running <> (SELECT count(*) FROM jobs, json_each(jobs.limits) AS named WHERE state = 'running' AND named.value = m.key) OR
			waiting <> (SELECT count(*) FROM lanes WHERE blocked_by = m.key)`
	wrong, err := Many(db.reader(tb.Context()), Value[string], recount)
	if err != nil {
		tb.Fatal(err)
	}
	return wrong
}

func openCapped(tb testing.TB, path string, caps Caps) *DB {
	tb.Helper()
	db, err := Open(tb.Context(), Config{DSN: path, Caps: caps, Shared: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

func enqueueMany(tb testing.TB, db *DB, owner account.Owner, lanes, n, laneCap int) {
	tb.Helper()
	var batch []job.New
	for i := range n {
		batch = append(batch, job.New{ID: job.NewID(), Owner: owner, Lane: fmt.Sprint(i % lanes), LaneCap: laneCap, Kind: "test", CreatedAt: morning})
		if len(batch) == 1000 || i == n-1 {
			if _, err := db.EnqueueBatch(tb.Context(), batch); err != nil {
				tb.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

func TestClaim_ABigTenantDoesNotHoldUpSmallOnes(t *testing.T) {
	t.Parallel()
	const (
		big, small, each = 20_000, 200, 50
		slots            = 32
		laneCap, cap     = 4, 12
	)
	db := openCapped(t, filepath.Join(t.TempDir(), "jobs.db"), Caps{Tenant: cap})
	enqueueMany(t, db, "usr_big", 100, big, laneCap)
	for i := range small {
		enqueueMany(t, db, account.Owner(fmt.Sprint("usr_", i)), 5, each, laneCap)
	}
	left, done := small*each, 0
	for left > 0 {
		jobs, err := db.ClaimJobs(t.Context(), "w", morning, morning.Add(time.Minute), slots)
		if err != nil || len(jobs) == 0 {
			t.Fatalf("claimed %d with %d left, %v", len(jobs), left, err)
		}
		lanes, tenants := map[string]int{}, map[account.Owner]int{}
		var all sync.WaitGroup
		for _, j := range jobs {
			lanes[string(j.Owner)+j.Lane]++
			tenants[j.Owner]++
			if lanes[string(j.Owner)+j.Lane] > laneCap || tenants[j.Owner] > cap {
				t.Fatalf("%d jobs of a lane and %d of a tenant run at once", lanes[string(j.Owner)+j.Lane], tenants[j.Owner])
			}
			if j.Owner == "usr_big" {
				done++
			} else {
				left--
			}
			all.Go(func() {
				if err := db.SettleJob(t.Context(), j.ID, j.Epoch, morning, job.Settlement{State: job.Done}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if done > big*12/100 {
		t.Errorf("the small ones were done when the big one had %d of %d", done, big)
	}
	t.Logf("the small ones were done when the big one had %d of %d", done, big)
	if wrong := counted(t, db); len(wrong) > 0 {
		t.Errorf("counters differ from the jobs: %v", wrong)
	}
}

func TestClaim_CapsHoldOverSeveralHosts(t *testing.T) {
	t.Parallel()
	const tenantCap, limitCap = 3, 2
	path := filepath.Join(t.TempDir(), "jobs.db")
	var hosts []*DB
	for range 3 {
		hosts = append(hosts, openCapped(t, path, Caps{Tenant: tenantCap, Limit: limitCap}))
	}
	const n = 90
	for i := range n {
		new := job.New{ID: job.NewID(), Owner: account.Owner(fmt.Sprint("usr_", i%2)), Lane: fmt.Sprint(i % 20), Kind: "test", Limits: []string{fmt.Sprint("l", i%3)}, CreatedAt: morning}
		if _, _, err := hosts[0].Enqueue(t.Context(), new); err != nil {
			t.Fatal(err)
		}
	}
	var (
		mu      sync.Mutex
		running = map[string]int{}
		done    int
		all     sync.WaitGroup
	)
	note := func(j *job.Job, by int) {
		mu.Lock()
		defer mu.Unlock()
		for what, most := range map[string]int{"tenant " + string(j.Owner): tenantCap, "limit " + j.Limits[0]: limitCap, "lane " + string(j.Owner) + j.Lane: 1} {
			if running[what] += by; running[what] > most {
				t.Errorf("%d jobs of %s run at once, want at most %d", running[what], what, most)
			}
		}
		if by < 0 {
			done++
		}
	}
	finished := func() bool { mu.Lock(); defer mu.Unlock(); return done == n || t.Failed() }
	for i, db := range hosts {
		all.Go(func() {
			for !finished() {
				jobs, err := db.ClaimJobs(t.Context(), fmt.Sprint(i), morning, morning.Add(time.Minute), 4)
				if err != nil {
					t.Error(err)
					return
				}
				for _, j := range jobs {
					note(j, 1)
				}
				for _, j := range jobs {
					note(j, -1) // before the store may give its place to another
					if err := db.SettleJob(t.Context(), j.ID, j.Epoch, morning, job.Settlement{State: job.Done}); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if wrong := counted(t, hosts[0]); len(wrong) > 0 {
		t.Errorf("counters differ from the jobs: %v", wrong)
	}
}

func TestClaim_FindsItsRowsByIndex(t *testing.T) {
	t.Parallel()
	db := openCapped(t, filepath.Join(t.TempDir(), "jobs.db"), Caps{})
	for _, text := range []string{
		`SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'queued' AND due = 0 AND run_at <= $1)`,
		`SELECT owner FROM tenants WHERE open > 0 AND running < coalesce(cap, $1) ORDER BY served LIMIT $2`,
		`SELECT name FROM lanes WHERE owner = $1 AND open = 1 ORDER BY served LIMIT $2`,
		`SELECT ` + firstOfLane,
		wakeBlocked,
	} {
		plan, err := Many(db.reader(t.Context()), func(row Row) (s string, err error) {
			var a, b, c int
			return s, row.Scan(&a, &b, &c, &s)
		}, `EXPLAIN QUERY PLAN `+text, make([]any, 2)...)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan) == 0 {
			t.Errorf("no plan for %s", text)
		}
		for _, step := range plan {
			if table := regexp.MustCompile(`SCAN (jobs|lanes|tenants|limits)( USING INDEX .*_(open|wanted))?$`).FindStringSubmatch(step); table != nil && table[2] == "" || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s\nneeds: %s", text, step)
			}
		}
	}
}

func TestPrune_ForgetsLanesInWhichNothingHappens(t *testing.T) {
	t.Parallel()
	db := openCapped(t, filepath.Join(t.TempDir(), "jobs.db"), Caps{})
	enqueue := func(lane string) {
		t.Helper()
		n := job.New{ID: job.NewID(), Owner: "usr_a", Lane: lane, Kind: "test", Limits: []string{"of " + lane}, CreatedAt: morning}
		if _, _, err := db.Enqueue(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	enqueue("idle")
	jobs, err := db.ClaimJobs(t.Context(), "w", morning, morning.Add(time.Minute), 1)
	if err != nil || len(jobs) != 1 {
		t.Fatalf("claimed %d, %v", len(jobs), err)
	}
	if err := db.SettleJob(t.Context(), jobs[0].ID, jobs[0].Epoch, morning, job.Settlement{State: job.Dead}); err != nil {
		t.Fatal(err)
	}
	enqueue("busy")
	lanes := func() []string {
		t.Helper()
		if _, err := db.PruneJobs(t.Context(), morning, morning, 10); err != nil {
			t.Fatal(err)
		}
		names, err := Many(db.reader(t.Context()), Value[string], `SELECT name FROM lanes ORDER BY name`)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if names := lanes(); len(names) != 2 {
		t.Errorf("lanes that just had something to do are forgotten: %v", names)
	}
	if err := db.Write(t.Context(), func(tx *Tx) error { return tx.ExecOne(`UPDATE turns SET last = last + 2 * $1`, restful) }); err != nil {
		t.Fatal(err)
	}
	if names := lanes(); len(names) != 1 || names[0] != "busy" {
		t.Errorf("lanes %v, want the busy one", names)
	}
	if err := db.ReplayJob(t.Context(), "usr_a", jobs[0].ID, morning, job.ReplayOptions{From: job.Start}); err != nil {
		t.Fatal(err)
	}
	if wrong := counted(t, db); len(wrong) > 0 {
		t.Errorf("counters differ from the jobs: %v", wrong)
	}
}

// TestClaim_ALimitThatIsNamedTwiceCountsOnce: one account may play two roles of a record. Otherwise its limit would never be free
// again.
func TestClaim_ALimitThatIsNamedTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	db := openCapped(t, filepath.Join(t.TempDir(), "frigg.db"), Caps{Limit: 2})
	for i := range 5 {
		n := job.New{ID: job.NewID(), Owner: "usr_1", Lane: fmt.Sprint(i), Limits: []string{"connection:1", "connection:1"}, Kind: "test", CreatedAt: morning}
		if _, _, err := db.Enqueue(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		jobs, err := db.ClaimJobs(t.Context(), "w", morning, morning.Add(time.Minute), 1)
		if err != nil || len(jobs) != 1 {
			t.Fatalf("round %d: %d jobs, %v; %v", i, len(jobs), err, counted(t, db))
		}
		if err := db.SettleJob(t.Context(), jobs[0].ID, jobs[0].Epoch, morning, job.Settlement{State: job.Done}); err != nil {
			t.Fatal(err)
		}
	}
	if wrong := counted(t, db); len(wrong) > 0 {
		t.Error(wrong)
	}
}

func TestPrune_GoesOnUntilItsLimit(t *testing.T) {
	t.Parallel()
	db := openCapped(t, filepath.Join(t.TempDir(), "frigg.db"), Caps{})
	enqueueMany(t, db, "usr_1", 1, 130, 130)
	jobs, err := db.ClaimJobs(t.Context(), "w", morning, morning.Add(time.Minute), 130)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		if err := db.SettleJob(t.Context(), j.ID, j.Epoch, morning, job.Settlement{State: job.Done}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{120, 10, 0} {
		if n, err := db.PruneJobs(t.Context(), morning.Add(time.Second), morning, 120); n != want || err != nil {
			t.Errorf("%d jobs went and not %d, %v", n, want, err)
		}
	}
}

// TestRecover_AJobThatKillsItsWorkersEnds: otherwise one job stops everybody's for ever. One that gets further goes on.
func TestRecover_AJobThatKillsItsWorkersEnds(t *testing.T) {
	t.Parallel()
	db := openCapped(t, filepath.Join(t.TempDir(), "frigg.db"), Caps{})
	deadly, slow := job.NewID(), job.NewID()
	for _, id := range []job.ID{deadly, slow} {
		if _, _, err := db.Enqueue(t.Context(), job.New{ID: id, Owner: "usr_1", Lane: string(id), Kind: "test", CreatedAt: morning}); err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n <= mostLost; n++ {
		jobs, err := db.ClaimJobs(t.Context(), "w", morning, morning, 2)
		if err != nil || len(jobs) != 2 {
			t.Fatalf("claim %d: %d jobs, %v", n, len(jobs), err)
		}
		err = db.AppendJournal(t.Context(), &journal.Run{ID: slow, Owner: "usr_1", StartedAt: morning, UpdatedAt: morning}, int64(n), &journal.Chunk{Data: []byte{1}}, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.RecoverJobs(t.Context(), morning, true); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[job.ID]job.State{deadly: job.Dead, slow: job.Queued} {
		if j, err := db.JobByID(t.Context(), "usr_1", id); err != nil || j.State != want {
			t.Errorf("%+v, %v; want %s", j, err, want)
		}
	}
	facts, err := db.FactsAfter(t.Context(), "usr_1", 0, 10)
	if wrong := counted(t, db); len(wrong) > 0 || err != nil || len(facts) != 1 {
		t.Errorf("%v, %d facts, %v", wrong, len(facts), err)
	}
}
