package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/syncs"
	"github.com/frigg-host/frigg-host/store"
)

func runSync(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, test := range map[string]func(*testing.T, *store.DB){
		"TotalsLoseNothing":              totalsLoseNothing,
		"AnAdditionCountsOncePerKey":     additionOnce,
		"AProcessIsMadeOncePerKey":       processOnce,
		"AnEndedProcessIsLeftAlone":      processEnded,
		"ErrorsAreBounded":               errorsBounded,
		"ForeignProcessesAreNotFound":    processForeign,
		"ARunIsStartedOnce":              runOnce,
		"TheWatermarkWaitsForOlderPages": watermarkWaits,
		"NewestFirstPassesAtTheEnd":      newestFirst,
		"ASettledBatchCountsOnce":        batchOnce,
		"LinksAreListedFromBothEnds":     links,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, open(t)) })
	}
}

func newProcess(in *integration.Integration) *syncs.Process {
	return &syncs.Process{
		ID: syncs.NewProcessID(), Owner: in.Owner, Integration: in.ID, Name: "Import", Type: "IMPORT", State: syncs.Initializing,
		Context: json.RawMessage(`{"a":1}`), CreatedAt: noon, UpdatedAt: noon,
	}
}

func makeProcess(t *testing.T, db *store.DB, in *integration.Integration) *syncs.Process {
	t.Helper()
	p, err := db.CreateProcess(t.Context(), newProcess(in), string(syncs.NewProcessID()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func process(t *testing.T, db *store.DB, id syncs.ProcessID) *syncs.Process {
	t.Helper()
	p, err := db.ProcessByID(t.Context(), ownerA, id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// totalsLoseNothing lets 32 pages count at once.
func totalsLoseNothing(t *testing.T, db *store.DB) {
	p := makeProcess(t, db, created(t, db, ownerA))
	var pages sync.WaitGroup
	for page := range 32 {
		pages.Go(func() {
			for i := range 20 {
				a := syncs.Addition{Totals: syncs.Totals{Synced: 3, Failed: 1, Skipped: 2}}
				if err := db.AddToProcess(context.Background(), ownerA, p.ID, fmt.Sprint(page, i), a, noon); err != nil {
					t.Error(err)
				}
			}
		})
	}
	pages.Wait()
	if got := process(t, db, p.ID).Totals; got != (syncs.Totals{Synced: 32 * 20 * 3, Failed: 32 * 20, Skipped: 32 * 20 * 2}) {
		t.Errorf("%+v", got)
	}
}

func additionOnce(t *testing.T, db *store.DB) {
	p := makeProcess(t, db, created(t, db, ownerA))
	for range 3 {
		if err := db.AddToProcess(t.Context(), ownerA, p.ID, "k", syncs.Addition{Totals: syncs.Totals{Synced: 5}}, noon); err != nil {
			t.Fatal(err)
		}
	}
	if got := process(t, db, p.ID).Synced; got != 5 {
		t.Errorf("%d", got)
	}
}

func processOnce(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	first, err := db.CreateProcess(t.Context(), newProcess(in), "k")
	if err != nil {
		t.Fatal(err)
	}
	second, err := db.CreateProcess(t.Context(), newProcess(in), "k")
	if err != nil || second.ID != first.ID {
		t.Errorf("%v, %v", second, err)
	}
	for range syncs.MaxOpen - 1 {
		makeProcess(t, db, in)
	}
	if _, err := db.CreateProcess(t.Context(), newProcess(in), "more"); !fault.Is(err, fault.Exhausted) {
		t.Errorf("no bound: %v", err)
	}
}

func processEnded(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	p := makeProcess(t, db, in)
	working, done := syncs.State("HALFWAY"), syncs.Completed
	total := int64(9)
	change := syncs.Change{State: &working, Context: json.RawMessage(`{"a":null,"b":{"c":2}}`), Total: &total}
	if err := db.UpdateProcess(t.Context(), ownerA, p.ID, change, noon.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := process(t, db, p.ID); got.State != working || string(got.Context) != `{"b":{"c":2}}` || got.Total != 9 || !got.EndedAt.IsZero() {
		t.Errorf("%+v %s", got, got.Context)
	}
	if err := db.UpdateProcess(t.Context(), ownerA, p.ID, syncs.Change{State: &done}, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"update": db.UpdateProcess(t.Context(), ownerA, p.ID, syncs.Change{State: &working}, noon),
		"add":    db.AddToProcess(t.Context(), ownerA, p.ID, "k", syncs.Addition{Totals: syncs.Totals{Synced: 1}}, noon),
	} {
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := db.CancelProcess(t.Context(), ownerA, p.ID, noon); err != nil {
		t.Error(err)
	}
	if got := process(t, db, p.ID); got.State != done || got.Synced != 0 || got.EndedAt != noon.Add(time.Minute) {
		t.Errorf("%+v", got)
	}
	if n, err := db.PruneProcesses(t.Context(), noon.Add(time.Hour), 10); n != 1 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
}

func errorsBounded(t *testing.T, db *store.DB) {
	p := makeProcess(t, db, created(t, db, ownerA))
	for i := range 3 {
		var a syncs.Addition
		for j := range 70 {
			a.Errors = append(a.Errors, syncs.Failure{ExternalID: fmt.Sprint(i*70 + j), Message: "no", At: noon})
		}
		if err := db.AddToProcess(t.Context(), ownerA, p.ID, fmt.Sprint(i), a, noon); err != nil {
			t.Fatal(err)
		}
	}
	got := process(t, db, p.ID).Errors
	if len(got) != syncs.KeptErrors || got[0].ExternalID != "110" || got[99].ExternalID != "209" {
		t.Errorf("%d errors: %+v", len(got), got)
	}
}

// processForeign walks every method with an owner.
func processForeign(t *testing.T, db *store.DB) {
	ctx := t.Context()
	in := created(t, db, ownerA)
	created(t, db, ownerB)
	p := makeProcess(t, db, in)
	run := startRun(t, db, in, spec)
	foreign := *in
	foreign.Owner = ownerB
	done := syncs.Completed
	link := syncs.Association{Set: "s", From: "a", To: "b", Kind: "k"}
	for name, err := range map[string]error{
		"CreateProcess": second(db.CreateProcess(ctx, newProcess(&foreign), "k")),
		"ProcessByID":   second(db.ProcessByID(ctx, ownerB, p.ID)),
		"UpdateProcess": db.UpdateProcess(ctx, ownerB, p.ID, syncs.Change{State: &done}, noon),
		"AddToProcess":  db.AddToProcess(ctx, ownerB, p.ID, "k", syncs.Addition{Totals: syncs.Totals{Synced: 1}}, noon),
		"CancelProcess": db.CancelProcess(ctx, ownerB, p.ID, noon),
		"StartRun":      startError(db, &foreign),
		"RunByProcess":  second(db.RunByProcess(ctx, ownerB, run)),
		"Watermark":     watermarkError(db, ownerB, in),
		"Associate":     db.Associate(ctx, ownerB, in.ID, link, 1<<20, noon),
		"Dissociate":    db.Dissociate(ctx, ownerB, in.ID, link),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s of another owner: %v", name, err)
		}
	}
	found, err := db.Processes(ctx, ownerB, syncs.Filter{Limit: 10})
	byID, err2 := db.RecordsByID(ctx, ownerB, in.ID, "s", abi.SyncSideSource, []string{"a"})
	byKey, err3 := db.RecordsByKey(ctx, ownerB, in.ID, "s", abi.SyncSideSource, []string{"a"})
	off, err4 := db.PutOff(ctx, ownerB, in.ID, "s", abi.SyncSideSource, 10)
	linked, err5 := db.Associations(ctx, ownerB, in.ID, syncs.AssociationQuery{Association: syncs.Association{Set: "s", From: "a"}}, 10)
	if n := len(found) + len(byID) + len(byKey) + len(off) + len(linked); n > 0 || err != nil || err2 != nil || err3 != nil || err4 != nil || err5 != nil {
		t.Errorf("another owner sees %d things: %v %v %v %v %v", n, err, err2, err3, err4, err5)
	}
	if got := process(t, db, p.ID); got.State != syncs.Initializing || got.Synced != 0 {
		t.Errorf("another owner changed %+v", got)
	}
}

func second[T any](_ T, err error) error { return err }

func startError(db *store.DB, in *integration.Integration) error {
	_, _, err := db.StartRun(context.Background(), runOf(in, spec), newRunProcess(in), false, noon)
	return err
}

func watermarkError(db *store.DB, o account.Owner, in *integration.Integration) error {
	_, _, err := db.Watermark(context.Background(), o, in.ID, "s", syncs.Forward)
	return err
}

var spec = abi.Sync{Name: "s", Title: "S", Source: "a", Target: "b", Parallel: 4, Batch: 1, PageSize: 10, MaxFailures: 10}

func newRunProcess(in *integration.Integration) *syncs.Process {
	p := newProcess(in)
	p.Name, p.Type, p.State = "s", syncs.TypeSync, syncs.Processing
	return p
}

func runOf(in *integration.Integration, s abi.Sync) syncs.Run {
	return syncs.Run{Owner: in.Owner, Integration: in.ID, Spec: s, Active: true}
}

func startRun(t *testing.T, db *store.DB, in *integration.Integration, s abi.Sync) syncs.ProcessID {
	t.Helper()
	p := newRunProcess(in)
	r := runOf(in, s)
	r.Process = p.ID
	id, _, err := db.StartRun(t.Context(), r, p, false, noon)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func runOnce(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	first := startRun(t, db, in, spec)
	if again := startRun(t, db, in, spec); again != first {
		t.Errorf("two runs at once: %s and %s", first, again)
	}
	if err := db.CancelProcess(t.Context(), ownerA, first, noon); err != nil {
		t.Fatal(err)
	}
	if next := startRun(t, db, in, spec); next == first {
		t.Error("a run that was canceled goes on")
	}
}

// settleOne settles the due job of a kind with what a room would commit.
func settleOne(t *testing.T, db *store.DB, kind string, with *syncs.Settled) {
	t.Helper()
	for range 20 {
		for _, j := range claim(t, db, 1) {
			s := job.Settlement{State: job.Done}
			if j.Kind != kind {
				s = job.Settlement{State: job.Queued, RunAt: noon, Free: true}
			} else {
				s.With = with
			}
			if err := db.SettleJob(t.Context(), j.ID, j.Epoch, noon, s); err != nil {
				t.Fatal(err)
			}
			if j.Kind == kind {
				return
			}
		}
	}
	t.Fatalf("no job of kind %s is due", kind)
}

func pageOf(p syncs.ProcessID, n int, cursor, mark string) *syncs.Settled {
	id := fmt.Sprintf("r%d", n)
	b := syncs.BatchID(fmt.Sprintf("sbt_%d", n))
	return &syncs.Settled{Owner: ownerA, Process: p, Page: &syncs.PageDone{
		Cursor: cursor, Watermark: mark, Batches: []syncs.Batch{{ID: b, Process: p, Side: abi.SyncSideTarget, Data: "sealed"}},
		Planned: []syncs.Planned{{Record: syncs.Record{Side: abi.SyncSideSource, ID: id}, Batch: b}},
	}}
}

func batchOf(p syncs.ProcessID, n int) *syncs.Settled {
	return &syncs.Settled{Owner: ownerA, Process: p, Batch: &syncs.BatchDone{
		ID: syncs.BatchID(fmt.Sprintf("sbt_%d", n)), Addition: syncs.Addition{Totals: syncs.Totals{Synced: 1}},
		Results: []syncs.Result{{ExternalID: fmt.Sprintf("r%d", n), TargetID: fmt.Sprintf("t%d", n), Hash: "h", Written: "w"}},
	}}
}

func markOf(t *testing.T, db *store.DB, in *integration.Integration) string {
	t.Helper()
	mark, _, err := db.Watermark(t.Context(), ownerA, in.ID, "s", syncs.Forward)
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

// watermarkWaits settles the second page before the first.
func watermarkWaits(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	p := startRun(t, db, in, spec)
	settleOne(t, db, syncs.JobFetch, pageOf(p, 1, "2", "one"))
	settleOne(t, db, syncs.JobFetch, pageOf(p, 2, "", "two"))
	var marks []string
	for _, n := range []int{2, 1} {
		marks = append(marks, markOf(t, db, in))
		settleOne(t, db, syncs.JobWrite, batchOf(p, n))
	}
	marks = append(marks, markOf(t, db, in))
	if diff := cmp.Diff([]string{"", "", "two"}, marks); diff != "" {
		t.Error(diff)
	}
	if got := process(t, db, p); got.State != syncs.Completed || got.Synced != 2 {
		t.Errorf("%+v", got)
	}
}

func newestFirst(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	s := spec
	s.NewestFirst = true
	p := startRun(t, db, in, s)
	settleOne(t, db, syncs.JobFetch, pageOf(p, 1, "2", "newest"))
	settleOne(t, db, syncs.JobWrite, batchOf(p, 1))
	if mark := markOf(t, db, in); mark != "" {
		t.Errorf("passed to %q although older pages are open", mark)
	}
	settleOne(t, db, syncs.JobFetch, pageOf(p, 2, "", "oldest"))
	settleOne(t, db, syncs.JobWrite, batchOf(p, 2))
	if mark := markOf(t, db, in); mark != "newest" {
		t.Errorf("passed to %q", mark)
	}
}

func batchOnce(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	p := startRun(t, db, in, spec)
	settleOne(t, db, syncs.JobFetch, pageOf(p, 1, "2", ""))
	settleOne(t, db, syncs.JobWrite, batchOf(p, 1))
	settleOne(t, db, syncs.JobFetch, batchOf(p, 1)) // whoever settles it again
	if got := process(t, db, p); got.Synced != 1 {
		t.Errorf("%+v", got.Totals)
	}
	found, err := db.RecordsByID(t.Context(), ownerA, in.ID, "s", abi.SyncSideTarget, []string{"t1", "t2"})
	want := map[string]*syncs.Record{"t1": {Side: abi.SyncSideTarget, ID: "t1", Counterpart: "r1", Hash: "w"}}
	if diff := cmp.Diff(want, found); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func links(t *testing.T, db *store.DB) {
	in := created(t, db, ownerA)
	var want []syncs.Association
	for i := range 5 {
		a := syncs.Association{Set: "s", From: "company", To: fmt.Sprint("contact", i), Kind: "employee"}
		want = append(want, a)
		for range 2 {
			if err := db.Associate(t.Context(), ownerA, in.ID, a, 1<<20, noon); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(q syncs.Association) []syncs.Association {
		var all []syncs.Association
		query := syncs.AssociationQuery{Association: q}
		for {
			page, err := db.Associations(t.Context(), ownerA, in.ID, query, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				return all
			}
			all = append(all, page...)
			query.After = page[len(page)-1]
		}
	}
	if diff := cmp.Diff(want, read(syncs.Association{Set: "s", From: "company"})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[3:4], read(syncs.Association{Set: "s", To: "contact3", Kind: "employee"})); diff != "" {
		t.Error(diff)
	}
	for _, a := range slices.Concat(want, want) {
		if err := db.Dissociate(t.Context(), ownerA, in.ID, a); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(syncs.Association{Set: "s", From: "company"}); len(got) != 0 {
		t.Errorf("left: %+v", got)
	}
	if err := db.Associate(t.Context(), ownerA, in.ID, want[0], 10, noon); !fault.Is(err, fault.TooLarge) {
		t.Errorf("no bound: %v", err)
	}
}
