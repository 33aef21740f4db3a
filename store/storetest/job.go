package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/store"
)

func runJob(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, test := range map[string]func(*testing.T, *store.DB){
		"ClaimsOneOfEachLaneInOrder":      claimsOneOfEachLane,
		"TwoClaimersNeverShare":           twoClaimersNeverShare,
		"UniqueKeyWaitsOnce":              uniqueKeyWaitsOnce,
		"ALostClaimChangesNothing":        lostClaim,
		"RecoverQueuesWhatLostItsWorker":  recoverLost,
		"AFreeTryDoesNotCount":            freeTry,
		"DeadJobsAreReplayedByTheirOwner": replayDead,
		"ParkedJobsWaitForADecision":      parked,
		"PruneKeepsWhatFailed":            pruneKeeps,
		"TheFutureIsNotDue":               futureNotDue,
		"OnceIsOnceForGood":               onceIsOnce,
		"ABacklogDoesNotHoldUpOthers":     fairToOwners,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, open(t)) })
	}
}

func enqueue(t *testing.T, db *store.DB, n job.New) job.ID {
	t.Helper()
	if n.Owner == "" {
		n.Owner = "usr_a"
	}
	n.ID, n.Kind, n.CreatedAt = job.NewID(), "test", noon
	if n.Payload == nil {
		n.Payload = json.RawMessage(`{"n":1}`)
	}
	id, _, err := db.Enqueue(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func claim(t *testing.T, db *store.DB, n int) []*job.Job {
	t.Helper()
	jobs, err := db.ClaimJobs(t.Context(), "w", noon, noon.Add(time.Minute), n)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

func settle(t *testing.T, db *store.DB, j *job.Job, s job.Settlement) {
	t.Helper()
	if err := db.SettleJob(t.Context(), j.ID, j.Epoch, noon, s); err != nil {
		t.Fatal(err)
	}
}

func claimsOneOfEachLane(t *testing.T, db *store.DB) {
	a1, a2, b1 := enqueue(t, db, job.New{Lane: "a"}), enqueue(t, db, job.New{Lane: "a"}), enqueue(t, db, job.New{Lane: "b"})
	first := claim(t, db, 10)
	if len(first) != 2 || first[0].ID != a1 || first[1].ID != b1 {
		t.Fatalf("claimed %v, want the oldest of lanes a and b", ids(first))
	}
	if again := claim(t, db, 10); len(again) != 0 {
		t.Fatalf("claimed %v while both lanes are busy", ids(again))
	}
	settle(t, db, first[0], job.Settlement{State: job.Done})
	if next := claim(t, db, 10); len(next) != 1 || next[0].ID != a2 || next[0].Attempt != 1 {
		t.Fatalf("claimed %v, want the second of lane a", ids(next))
	}
}

func ids(jobs []*job.Job) (out []job.ID) {
	for _, j := range jobs {
		out = append(out, j.ID)
	}
	return out
}

func twoClaimersNeverShare(t *testing.T, db *store.DB) {
	const n = 60
	for i := range n {
		enqueue(t, db, job.New{Lane: fmt.Sprint(i)})
	}
	var mu sync.Mutex
	seen := map[job.ID]int{}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for {
				jobs, err := db.ClaimJobs(t.Context(), "w", noon, noon.Add(time.Minute), 3)
				if err != nil {
					t.Error(err)
					return
				}
				if len(jobs) == 0 {
					return
				}
				mu.Lock()
				for _, j := range jobs {
					seen[j.ID]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seen) != n {
		t.Errorf("%d of %d jobs were claimed", len(seen), n)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s was claimed %d times", id, times)
		}
	}
}

func uniqueKeyWaitsOnce(t *testing.T, db *store.DB) {
	first := enqueue(t, db, job.New{Lane: "a", UniqueKey: "k"})
	id, existed, err := db.Enqueue(t.Context(), job.New{ID: job.NewID(), Owner: "usr_a", Lane: "a", Kind: "test", UniqueKey: "k", CreatedAt: noon})
	if err != nil || !existed || id != first {
		t.Fatalf("second enqueue: %v, existed %v, %v", id, existed, err)
	}
	settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Done})
	if again := enqueue(t, db, job.New{Lane: "a", UniqueKey: "k"}); again == first {
		t.Error("the key is still taken after the job is done")
	}
}

func lostClaim(t *testing.T, db *store.DB) {
	enqueue(t, db, job.New{Lane: "a"})
	old := claim(t, db, 1)[0]
	if n, err := db.RecoverJobs(t.Context(), noon.Add(2*time.Minute), false); err != nil || n != 1 {
		t.Fatalf("recovered %d, %v", n, err)
	}
	current := claim(t, db, 1)[0]
	if err := db.SettleJob(t.Context(), old.ID, old.Epoch, noon, job.Settlement{State: job.Done}); !fault.Is(err, fault.Conflict) {
		t.Errorf("settled with a lost claim: %v, want a conflict", err)
	}
	settle(t, db, current, job.Settlement{State: job.Done})
}

func recoverLost(t *testing.T, db *store.DB) {
	enqueue(t, db, job.New{Lane: "a"})
	claim(t, db, 1)
	if n, err := db.RecoverJobs(t.Context(), noon.Add(time.Second), false); err != nil || n != 0 {
		t.Fatalf("recovered %d whose lease runs, %v", n, err)
	}
	if n, err := db.RecoverJobs(t.Context(), noon.Add(time.Second), true); err != nil || n != 1 {
		t.Fatalf("recovered %d of all, %v", n, err)
	}
	if again := claim(t, db, 1); len(again) != 1 || again[0].Attempt != 2 {
		t.Fatalf("not claimed again: %v", ids(again))
	}
}

func freeTry(t *testing.T, db *store.DB) {
	id := enqueue(t, db, job.New{Lane: "a"})
	settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Queued, RunAt: noon, Free: true, Error: "rate limited"})
	j, err := db.JobByID(t.Context(), "usr_a", id)
	if err != nil || j.Attempt != 0 || j.LastError != "rate limited" || j.State != job.Queued {
		t.Errorf("job %+v, %v", j, err)
	}
}

func replayDead(t *testing.T, db *store.DB) {
	id := enqueue(t, db, job.New{Lane: "a"})
	if err := db.ReplayJob(t.Context(), "usr_a", id, noon, job.ReplayOptions{From: job.Start}); !fault.Is(err, fault.Conflict) {
		t.Errorf("replay of a queued job: %v, want a conflict", err)
	}
	settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Dead, Error: "no"})
	for _, foreign := range []account.Owner{"usr_b", ""} {
		if err := db.ReplayJob(t.Context(), foreign, id, noon, job.ReplayOptions{From: job.Start}); !fault.Is(err, fault.NotFound) {
			t.Errorf("replay by %q: %v, want not found", foreign, err)
		}
		if _, err := db.JobByID(t.Context(), foreign, id); !fault.Is(err, fault.NotFound) {
			t.Errorf("read by %q: %v, want not found", foreign, err)
		}
		if jobs, err := db.Jobs(t.Context(), foreign, []job.State{job.Dead}, "", 10); err != nil || len(jobs) != 0 {
			t.Errorf("list by %q: %v, %v", foreign, ids(jobs), err)
		}
	}
	if err := db.ReplayJob(t.Context(), "usr_a", id, noon, job.ReplayOptions{From: job.Start}); err != nil {
		t.Fatal(err)
	}
	if again := claim(t, db, 1); len(again) != 1 || again[0].ID != id {
		t.Errorf("not claimed after replay: %v", ids(again))
	}
}

func parked(t *testing.T, db *store.DB) {
	id := enqueue(t, db, job.New{Lane: "a", UniqueKey: "k"})
	if err := db.Unpark(t.Context(), "usr_a", id, noon); !fault.Is(err, fault.Conflict) {
		t.Errorf("unpark of a queued job: %v, want a conflict", err)
	}
	settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Parked, Error: "was it sent?"})
	j, err := db.JobByID(t.Context(), "usr_a", id)
	if err != nil || j.State != job.Parked || j.LastError != "was it sent?" || !j.FinishedAt.IsZero() {
		t.Errorf("job %+v, %v", j, err)
	}
	if again := enqueue(t, db, job.New{Lane: "a", UniqueKey: "k"}); again != id {
		t.Error("a parked job gave its key away")
	}
	if jobs := claim(t, db, 1); len(jobs) != 0 {
		t.Errorf("claimed %v without a decision", ids(jobs))
	}
	if err := db.Unpark(t.Context(), "usr_b", id, noon); !fault.Is(err, fault.NotFound) {
		t.Errorf("unpark by a stranger: %v, want not found", err)
	}
	if err := db.Unpark(t.Context(), "usr_a", id, noon); err != nil {
		t.Fatal(err)
	}
	if again := claim(t, db, 1); len(again) != 1 || again[0].ID != id {
		t.Errorf("not claimed after the decision: %v", ids(again))
	}
}

func pruneKeeps(t *testing.T, db *store.DB) {
	done, dead := enqueue(t, db, job.New{Lane: "a"}), enqueue(t, db, job.New{Lane: "b"})
	for _, j := range claim(t, db, 2) {
		s := job.Settlement{State: job.Done}
		if j.ID == dead {
			s.State = job.Dead
		}
		settle(t, db, j, s)
	}
	prune := func(done, failed time.Time, want int) {
		t.Helper()
		if n, err := db.PruneJobs(t.Context(), done, failed, 10); err != nil || n != want {
			t.Fatalf("pruned %d, want %d, %v", n, want, err)
		}
	}
	prune(noon, noon, 0)
	prune(noon.Add(time.Second), noon, 1)
	if _, err := db.JobByID(t.Context(), "usr_a", done); !fault.Is(err, fault.NotFound) {
		t.Errorf("done job: %v", err)
	}
	counts, err := db.CountJobs(t.Context())
	if err != nil || counts[job.Dead] != 1 || len(counts) != 1 {
		t.Errorf("left: %v, %v", counts, err)
	}
	prune(noon.Add(time.Second), noon.Add(time.Second), 1)
}

func onceIsOnce(t *testing.T, db *store.DB) {
	n := job.New{Lane: "a", UniqueKey: "k", Once: true}
	first := enqueue(t, db, n)
	settle(t, db, claim(t, db, 1)[0], job.Settlement{State: job.Done})
	n.ID, n.Owner, n.Kind, n.CreatedAt = job.NewID(), "usr_a", "test", noon
	if id, existed, err := db.Enqueue(t.Context(), n); err != nil || !existed || id != first {
		t.Errorf("after the first is done: %s, existed %v, %v", id, existed, err)
	}
}

func fairToOwners(t *testing.T, db *store.DB) {
	for i := range 6 {
		enqueue(t, db, job.New{Owner: "usr_a", Lane: fmt.Sprint("a", i)})
	}
	claim(t, db, 3) // of usr_a
	enqueue(t, db, job.New{Owner: "usr_b", Lane: "b"})
	if next := claim(t, db, 1); len(next) != 1 || next[0].Owner != "usr_b" {
		t.Errorf("the backlog of one owner goes before another's first job: %v", ids(next))
	}
}

func futureNotDue(t *testing.T, db *store.DB) {
	enqueue(t, db, job.New{Lane: "a", RunAt: noon.Add(time.Second)})
	if jobs := claim(t, db, 1); len(jobs) != 0 {
		t.Errorf("claimed %v before its time", ids(jobs))
	}
	if jobs, err := db.ClaimJobs(t.Context(), "w", noon.Add(time.Second), noon.Add(time.Minute), 1); err != nil || len(jobs) != 1 {
		t.Errorf("claimed %v when its time has come, %v", ids(jobs), err)
	}
}
