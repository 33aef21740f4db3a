package syncs

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/google/uuid"
)

// Phase is a part of a run: one side is read page by page.
type Phase string

const (
	Index    Phase = "index"    // the target is read, to match by
	Forward  Phase = "forward"  // the source is read, the target written
	Backward Phase = "backward" // the target is read, the source written
)

// Side is the side that is read.
func (p Phase) Side() abi.SyncSide {
	if p == Forward {
		return abi.SyncSideSource
	}
	return abi.SyncSideTarget
}

// Other is the side across.
func Other(s abi.SyncSide) abi.SyncSide {
	if s == abi.SyncSideSource {
		return abi.SyncSideTarget
	}
	return abi.SyncSideSource
}

// Phases are the parts of a run of a sync, in order.
func Phases(s *abi.Sync) []Phase {
	var all []Phase
	if len(s.Match) > 0 {
		all = append(all, Index)
	}
	all = append(all, Forward)
	if s.Direction == abi.SyncDirectionTwoWay {
		all = append(all, Backward)
	}
	return all
}

// after is the phase behind p, empty behind the last.
func after(s *abi.Sync, p Phase) Phase {
	all := Phases(s)
	for i := range all[:len(all)-1] {
		if all[i] == p {
			return all[i+1]
		}
	}
	return ""
}

// maxPages bounds the pages of a phase, so that a cursor that never ends is seen.
const maxPages = 20_000

// Run is where a sync run is. It changes only inside of acts.
type Run struct {
	Process     ProcessID
	Owner       account.Owner
	Integration integration.ID
	Spec        abi.Sync // as declared when the run began, with its defaults
	Active      bool
	Phase       Phase
	Initial     bool   // the phase reads all records
	Cursor      string // of the next page
	More        bool   // there is a next page
	Fetching    bool   // the job of the next page is on its way
	Page        int    // pages of the phase that were fetched
	Open        int    // batches that are not done
	Failures    int    // records that failed since the run was started or resumed
	Base        int64  // records that were looked at before the phase
}

// Enter makes phase the one under way.
func (r *Run) Enter(p Phase, initial bool, base int64) {
	r.Phase, r.Initial, r.Base = p, initial, base
	r.Cursor, r.More, r.Fetching, r.Page = "", true, false, 0
}

// Backwards reports whether the pages of the phase come newest first, so that its watermark means nothing before its end.
func (r *Run) Backwards() bool { return r.Spec.NewestFirst && r.Initial }

// Move is what follows from the state of a run: at most one of its fields is set.
type Move struct {
	Fetch bool  // the next page is due
	Sweep bool  // records that were put off are due
	Phase Phase // the phase is done, and this one is next
	End   State // the run is over
	Why   string
}

// Next says what follows. again: there are records that were put off and can be looked at now. Nobody else may decide it.
func (r *Run) Next(again bool) Move {
	switch {
	case !r.Active:
		return Move{}
	case r.Failures >= int(r.Spec.MaxFailures):
		return Move{End: Failed, Why: fmt.Sprintf("stopped after %d records that could not be written", r.Failures)}
	case r.Page > maxPages:
		return Move{End: Failed, Why: fmt.Sprintf("stopped after %d pages; the plugin's cursor does not seem to end", maxPages)}
	case r.Fetching:
		return Move{}
	case r.More && r.Open < int(max(1, r.Spec.Parallel)):
		return Move{Fetch: true}
	case r.More, r.Open > 0:
		return Move{}
	case again:
		return Move{Sweep: true}
	}
	if p := after(&r.Spec, r.Phase); p != "" {
		return Move{Phase: p}
	}
	return Move{End: Completed}
}

// Kinds of the jobs that Service works off.
const (
	JobFetch = "sync.fetch"
	JobWrite = "sync.write"
	JobStart = "sync.start"
)

// payload is what a job of this room carries.
type payload struct {
	Process     ProcessID      `json:"process,omitempty"`
	Phase       Phase          `json:"phase,omitempty"`
	Page        int            `json:"page,omitempty"`
	Sweep       bool           `json:"sweep,omitempty"`
	Batch       BatchID        `json:"batch,omitempty"`
	Integration integration.ID `json:"integration,omitempty"`
	Sync        string         `json:"sync,omitempty"`
}

func newJob(o account.Owner, lane, kind string, p payload, now time.Time) job.New {
	raw, _ := json.Marshal(p) // texts and numbers
	return job.New{ID: job.NewID(), Owner: o, Lane: lane, Kind: kind, Payload: raw, CreatedAt: now}
}

// Lane is where its jobs run, here and below. It is below that of the integration: what waits goes when the integration goes.
func (r *Run) Lane() string { return string(r.Integration) + "/" + r.Spec.Name }

// FetchJob is the job of the next page, or of records that were put off.
func (r *Run) FetchJob(sweep bool, now time.Time) job.New {
	return newJob(r.Owner, r.Lane(), JobFetch, payload{Process: r.Process, Phase: r.Phase, Page: r.Page, Sweep: sweep}, now)
}

// WriteJob is the job of a batch; n spreads batches over the lanes that write at once.
func (r *Run) WriteJob(b BatchID, n int, now time.Time) job.New {
	l := fmt.Sprintf("%s/%d", r.Lane(), n%int(max(1, r.Spec.Parallel)))
	return newJob(r.Owner, l, JobWrite, payload{Process: r.Process, Batch: b}, now)
}

// recurs is how long the next run of a sync waits for an integration that cannot work.
const recurs = 366 * 24 * time.Hour

// AgainJob starts the next run of a sync that is declared to recur; false if it is not.
func (r *Run) AgainJob(now time.Time) (job.New, bool) {
	if r.Spec.EveryS == 0 {
		return job.New{}, false
	}
	n := newJob(r.Owner, r.Lane(), JobStart, payload{Integration: r.Integration, Sync: r.Spec.Name}, now)
	n.RunAt = now.Add(time.Duration(r.Spec.EveryS) * time.Second)
	n.Deadline = n.RunAt.Add(recurs)
	n.UniqueKey = r.Lane() + "|start"
	return n, true
}

// BatchID names a batch: "sbt_" and a version 7 UUID.
type BatchID string

func newBatchID() BatchID { return BatchID("sbt_" + uuid.Must(uuid.NewV7()).String()) }
