package store

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
)

// modelJob is a job as the model knows it: what the rules say of it, without lanes, counters or indexes.
type modelJob struct {
	job.New
	state     job.State
	runAt     time.Time
	epoch     int64
	lease     time.Time
	canceling bool
}

// model is the queue in a few lines. It checks what a store does step by step, and says what it did wrong.
type model struct {
	db      *DB
	settle  func(ctx context.Context, id job.ID, epoch int64, now time.Time, s job.Settlement) error
	rng     *rand.Rand
	now     time.Time
	jobs    []*modelJob // by age
	caps    Caps
	laneCap map[string]int
	paused  map[string]time.Time // lanes and limits
}

func laneOf(j *modelJob) string { return "lane " + string(j.Owner) + " " + j.Lane }

func (m *model) count(of func(*modelJob) bool) (n int) {
	for _, j := range m.jobs {
		if j.state == job.Running && of(j) {
			n++
		}
	}
	return n
}

func (m *model) isPaused(key string) bool { return m.paused[key].After(m.now) }

// mayStart says why a job may not start now; "" if it may.
func (m *model) mayStart(j *modelJob) string {
	switch {
	case j.state != job.Queued:
		return "it is " + string(j.state)
	case j.runAt.After(m.now):
		return "its time has not come"
	case m.isPaused(laneOf(j)):
		return "its lane is paused"
	case m.count(func(o *modelJob) bool { return laneOf(o) == laneOf(j) }) >= m.laneCap[laneOf(j)]:
		return "its lane is full"
	case m.count(func(o *modelJob) bool { return o.Owner == j.Owner }) >= m.caps.Tenant:
		return "its owner has enough"
	}
	for _, key := range j.Limits {
		if m.isPaused(key) || m.count(func(o *modelJob) bool { return slices.Contains(o.Limits, key) }) >= m.caps.Limit {
			return "the limit " + key + " holds it up"
		}
	}
	for _, o := range m.jobs {
		if o != j && laneOf(o) == laneOf(j) && o.state == job.Queued && !o.runAt.After(m.now) &&
			(o.Priority > j.Priority || o.Priority == j.Priority && slices.Index(m.jobs, o) < slices.Index(m.jobs, j)) {
			return "another of its lane goes before"
		}
	}
	return ""
}

func (m *model) byID(id job.ID) *modelJob {
	i := slices.IndexFunc(m.jobs, func(j *modelJob) bool { return j.ID == id })
	if i < 0 {
		return nil
	}
	return m.jobs[i]
}

// any picks a job in one of the states, nil if there is none.
func (m *model) any(states ...job.State) *modelJob {
	var in []*modelJob
	for _, j := range m.jobs {
		if slices.Contains(states, j.state) {
			in = append(in, j)
		}
	}
	if len(in) == 0 {
		return nil
	}
	return in[m.rng.IntN(len(in))]
}

func (m *model) enqueue(ctx context.Context) error {
	var batch []job.New
	for range 1 + m.rng.IntN(4) {
		n := job.New{
			ID: job.NewID(), Owner: account.Owner(fmt.Sprint("usr_", m.rng.IntN(3))), Lane: fmt.Sprint(m.rng.IntN(3)), Kind: "test",
			Priority: m.rng.IntN(3) - 1, LaneCap: m.rng.IntN(12) / 10 * 2, CreatedAt: m.now, RunAt: m.later(),
		}
		for _, key := range []string{"a", "b", "c"} {
			if m.rng.IntN(3) == 0 {
				n.Limits = append(n.Limits, key)
			}
		}
		if m.rng.IntN(4) == 0 {
			n.UniqueKey = fmt.Sprint(n.Owner, m.rng.IntN(5))
		}
		batch = append(batch, n)
	}
	done, err := m.db.EnqueueBatch(ctx, batch)
	if err != nil {
		return err
	}
	for i, n := range batch {
		taken := slices.IndexFunc(m.jobs, func(j *modelJob) bool { return n.UniqueKey != "" && j.UniqueKey == n.UniqueKey && !j.state.Ended() })
		switch {
		case taken >= 0 != done[i].Existed:
			return fmt.Errorf("key %q: existed is %v", n.UniqueKey, done[i].Existed)
		case taken >= 0:
			continue
		}
		j := &modelJob{New: n, state: job.Queued, runAt: n.RunAt}
		m.jobs = append(m.jobs, j)
		m.laneCap[laneOf(j)] = cmp.Or(n.LaneCap, m.laneCap[laneOf(j)], 1)
	}
	return nil
}

// later is now, or up to a minute later.
func (m *model) later() time.Time {
	return m.now.Add(time.Duration(max(0, m.rng.IntN(120)-60)) * time.Second)
}

func (m *model) claim(ctx context.Context) error {
	n := 1 + m.rng.IntN(6)
	lease := m.now.Add(time.Minute)
	jobs, err := m.db.ClaimJobs(ctx, "w", m.now, lease, n)
	if err != nil {
		return err
	}
	for _, got := range jobs {
		j := m.byID(got.ID)
		if why := m.mayStart(j); why != "" {
			return fmt.Errorf("%s was claimed although %s", got.ID, why)
		}
		j.state, j.epoch, j.lease = job.Running, j.epoch+1, lease
		if got.Epoch != j.epoch {
			return fmt.Errorf("epoch %d, want %d", got.Epoch, j.epoch)
		}
	}
	if len(jobs) == n {
		return nil
	}
	for _, j := range m.jobs {
		if m.mayStart(j) == "" {
			return fmt.Errorf("%d of %d jobs were claimed although %s may start", len(jobs), n, j.ID)
		}
	}
	return nil
}

func (m *model) settleOne(ctx context.Context) error {
	j := m.any(job.Running)
	if j == nil {
		return nil
	}
	s := job.Settlement{State: []job.State{job.Done, job.Done, job.Dead, job.Halted, job.Queued, job.Queued, job.Parked}[m.rng.IntN(7)]}
	if s.State == job.Queued {
		s.RunAt, s.Free = m.later(), m.rng.IntN(2) == 0
	}
	for _, key := range []string{"", "a", "b"} {
		if m.rng.IntN(8) == 0 {
			s.Pauses = append(s.Pauses, job.Pause{Key: key, Until: m.later()})
		}
	}
	if err := m.settle(ctx, j.ID, j.epoch, m.now, s); err != nil {
		return err
	}
	for _, p := range s.Pauses {
		key := cmp.Or(p.Key, laneOf(j))
		if p.Until.After(m.paused[key]) {
			m.paused[key] = p.Until
		}
	}
	j.state, j.runAt = s.State, s.RunAt
	if j.canceling && !s.State.Ended() {
		j.state = job.Canceled
	}
	j.canceling = false
	return nil
}

// settleLost settles with a claim that is over.
func (m *model) settleLost(ctx context.Context) error {
	j := m.any(job.States...)
	if j == nil || j.epoch == 0 {
		return nil
	}
	epoch := j.epoch
	if j.state == job.Running {
		epoch--
	}
	if err := m.settle(ctx, j.ID, epoch, m.now, job.Settlement{State: job.Done}); !fault.Is(err, fault.Conflict) {
		return fmt.Errorf("settled %s, which is %s, with the epoch %d of a claim that is over: %v", j.ID, j.state, epoch, err)
	}
	return nil
}

func (m *model) recover(ctx context.Context) error {
	all, want := m.rng.IntN(4) == 0, 0
	for _, j := range m.jobs {
		if j.state != job.Running || !all && !j.lease.Before(m.now) {
			continue
		}
		want++
		j.state = job.Queued // and runAt has come already
		if j.canceling {
			j.state, j.canceling = job.Canceled, false
		}
	}
	if n, err := m.db.RecoverJobs(ctx, m.now, all); err != nil || n != want {
		return fmt.Errorf("recovered %d jobs, want %d, %w", n, want, err)
	}
	return nil
}

func (m *model) cancel(ctx context.Context) error {
	j := m.any(job.States...)
	if j == nil {
		return nil
	}
	running, err := m.db.CancelJob(ctx, j.Owner, j.ID, m.now)
	switch {
	case j.state.Ended():
		if !fault.Is(err, fault.Conflict) {
			return fmt.Errorf("canceled a job that is %s: %v", j.state, err)
		}
	case err != nil || running != (j.state == job.Running):
		return fmt.Errorf("canceled a job that is %s: running is %v, %v", j.state, running, err)
	case running:
		j.canceling = true
	default:
		j.state = job.Canceled
	}
	return nil
}

// again unparks and replays.
func (m *model) again(ctx context.Context) error {
	if j := m.any(job.Parked); j != nil {
		if err := m.db.Unpark(ctx, j.Owner, j.ID, m.now); err != nil {
			return err
		}
		j.state, j.runAt = job.Queued, m.now
	}
	j := m.any(job.Dead, job.Halted, job.Canceled)
	if j == nil {
		return nil
	}
	taken := slices.ContainsFunc(m.jobs, func(o *modelJob) bool { return j.UniqueKey != "" && o.UniqueKey == j.UniqueKey && !o.state.Ended() })
	err := m.db.ReplayJob(ctx, j.Owner, j.ID, m.now, job.ReplayOptions{From: job.Start})
	if taken {
		if !fault.Is(err, fault.Conflict) {
			return fmt.Errorf("replayed a job whose key another one has: %v", err)
		}
		return nil
	}
	j.state, j.runAt = job.Queued, m.now
	return err
}

func (m *model) step(ctx context.Context) error {
	m.now = m.now.Add(time.Duration(m.rng.IntN(4000)) * time.Millisecond).Truncate(time.Microsecond)
	switch n := m.rng.IntN(100); {
	case n < 25:
		return m.enqueue(ctx)
	case n < 55:
		return m.claim(ctx)
	case n < 80:
		return m.settleOne(ctx)
	case n < 85:
		return m.settleLost(ctx)
	case n < 90:
		return m.recover(ctx)
	case n < 95:
		return m.cancel(ctx)
	}
	return m.again(ctx)
}

// run takes steps on a new store that is changed by spoil first, and returns what the first wrong one did.
func (m *model) run(t *testing.T, seed uint64, steps int, spoil func(m *model)) error {
	*m = model{
		db:  openCapped(t, filepath.Join(t.TempDir(), "jobs.db"), Caps{Tenant: 4, Limit: 2}),
		rng: rand.New(rand.NewPCG(seed, 1)), now: morning, caps: Caps{Tenant: 4, Limit: 2}, laneCap: map[string]int{}, paused: map[string]time.Time{},
	}
	m.settle = m.db.SettleJob
	spoil(m)
	for i := range steps {
		if err := m.step(t.Context()); err != nil {
			return fmt.Errorf("seed %d, step %d: %w", seed, i, err)
		}
	}
	return nil
}

func TestQueue_DoesWhatItsModelSays(t *testing.T) {
	t.Parallel()
	for range 6 {
		seed := rand.Uint64()
		var m model
		if err := m.run(t, seed, 400, func(*model) {}); err != nil {
			t.Error(err)
		}
		if wrong := counted(t, m.db); len(wrong) > 0 {
			t.Errorf("seed %d: counters differ from the jobs: %v", seed, wrong)
		}
	}
}

// TestModel_CatchesWrongQueues shows that the model sees what it is there for.
func TestModel_CatchesWrongQueues(t *testing.T) {
	t.Parallel()
	alter := func(text string) func(m *model) {
		return func(m *model) {
			if err := m.db.Write(t.Context(), func(tx *Tx) error { _, err := tx.Exec(text); return err }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, spoil := range map[string]func(m *model){
		"a claim ignores caps":     func(m *model) { m.db.caps = Caps{}.orUnbounded() },
		"a claim ignores tenants":  func(m *model) { m.db.caps.Tenant = 1 << 30 },
		"recovery without epoch":   func(m *model) { m.settle = m.settleAnyEpoch },
		"who ends frees no place":  alter(`DROP TRIGGER jobs_stopped`),
		"nobody counts who waits":  alter(`DROP TRIGGER lanes_unblocked`),
		"a replay opens no lane":   alter(`DROP TRIGGER jobs_revived`),
		"what started stays ready": alter(`DROP TRIGGER jobs_moved`),
	} {
		caught := error(nil)
		for seed := range uint64(10) {
			var m model
			if caught = m.run(t, seed, 400, spoil); caught != nil {
				t.Logf("%s: %v", name, caught)
				break
			}
		}
		if caught == nil {
			t.Errorf("%s, and the model did not notice", name)
		}
	}
}

// settleAnyEpoch is a store that lets whoever was late overwrite what its successor did.
func (m *model) settleAnyEpoch(ctx context.Context, id job.ID, _ int64, now time.Time, s job.Settlement) error {
	current, err := One(m.db.reader(ctx), Value[int64], `SELECT epoch FROM jobs WHERE id = $1`, id)
	if err != nil {
		return err
	}
	return m.db.SettleJob(ctx, id, current, now, s)
}
