package syncs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// waiting is how long a job of an integration that cannot work is put aside at most.
const waiting = 5 * time.Minute

// patience is how long j is put aside now: a change of the record makes it due at once, unless it comes between the look at the
// record and this.
func patience(j *job.Job) time.Duration { return min(waiting, time.Second<<min(j.Epoch, 9)) }

// Work works off one job of this room. It is the job.Handler of JobFetch, JobWrite and JobStart.
func (s *Service) Work(ctx context.Context, j *job.Job) job.Outcome {
	var p payload
	if err := json.Unmarshal(j.Payload, &p); err != nil {
		return job.Outcome{Err: fault.Wrap(err, fault.Internal, "syncs.Work", "the job's payload cannot be read"), Halt: true}
	}
	if j.Kind == JobStart {
		return s.restart(ctx, j, p)
	}
	r, err := s.Store.RunByProcess(ctx, j.Owner, p.Process)
	if fault.Is(err, fault.NotFound) {
		return job.Outcome{} // removed meanwhile
	}
	if err != nil {
		return job.Outcome{Err: err}
	}
	return (&try{s: s, job: j, payload: p, run: r}).work(ctx)
}

// restart begins the next run of a sync that recurs.
func (s *Service) restart(ctx context.Context, j *job.Job, p payload) job.Outcome {
	in, _, err := s.Integrations.Owned(ctx, j.Owner, p.Integration)
	if fault.Is(err, fault.NotFound) {
		return job.Outcome{}
	}
	if err != nil {
		return job.Outcome{Err: err}
	}
	if integration.Decide(in.Status, p.Sync) != integration.Run {
		return job.Outcome{Defer: patience(j)}
	}
	_, _, err = s.start(ctx, j.Owner, p.Integration, p.Sync, false)
	return job.Outcome{Err: err}
}

// try is one try of a job of a run.
type try struct {
	s *Service
	payload
	job *job.Job
	run *Run
	in  *integration.Integration
}

// work asks whether the job is still wanted, and does it.
func (t *try) work(ctx context.Context) job.Outcome {
	wanted, err := t.wanted(ctx)
	if err != nil || !wanted {
		return job.Outcome{Err: err}
	}
	t.in, _, err = t.s.Integrations.Owned(ctx, t.job.Owner, t.run.Integration)
	if fault.Is(err, fault.NotFound) {
		return job.Outcome{}
	}
	if err != nil {
		return t.ends(job.Outcome{Err: err}, &Settled{}, nil)
	}
	switch integration.Decide(t.in.Status, t.run.Spec.Name) {
	case integration.Wait:
		return job.Outcome{Defer: patience(t.job)}
	case integration.Discard:
		return t.ends(job.Outcome{}, &Settled{Paused: true}, nil)
	}
	if t.job.Kind == JobFetch {
		return t.fetch(ctx)
	}
	return t.write(ctx)
}

// wanted reports whether the run still waits for this job. A batch that somebody began to write is finished even if the run is
// over, so that it is known what was written.
func (t *try) wanted(ctx context.Context) (bool, error) {
	if t.job.Kind == JobFetch {
		return t.run.Active && t.run.Fetching && t.run.Phase == t.Phase && t.run.Page == t.Page, nil
	}
	return t.run.Active || t.job.Epoch > 1, nil
}

// ends says what the end of a try means for the run. record is what the integration gets; may be nil.
func (t *try) ends(o job.Outcome, done *Settled, record func(job.Settlement) *integration.Settled) job.Outcome {
	done.Owner, done.Process = t.job.Owner, t.run.Process
	o.With = func(st job.Settlement) any {
		if o.Err != nil && st.State.Ended() {
			done.Failed = clip(fault.PublicMessage(o.Err), maxMessage)
		}
		if record != nil {
			done.Record = record(st)
		}
		return done
	}
	return o
}

// fetch reads a page and plans what it needs.
func (t *try) fetch(ctx context.Context) job.Outcome {
	done := &PageDone{Sweep: t.Sweep}
	records, err := t.read(ctx, done)
	if err == nil {
		err = t.s.plan(ctx, t.run, records, done)
	}
	if err == nil {
		return t.ends(job.Outcome{}, &Settled{Page: done}, nil)
	}
	o := job.Outcome{Err: err}
	refusal := t.s.Integrations.Refusal(ctx, t.in, err)
	if refusal != nil {
		o.Defer = waiting // authorising again makes it due
	}
	return t.ends(o, &Settled{}, func(st job.Settlement) *integration.Settled {
		if st.State.Ended() {
			return nil
		}
		return refusal
	})
}

// read is the next page of the vendor, or of records that were put off.
func (t *try) read(ctx context.Context, done *PageDone) ([]abi.SyncRecord, error) {
	r := t.run
	if t.Sweep {
		return t.s.putOff(ctx, r)
	}
	mark, _, err := t.s.Store.Watermark(ctx, r.Owner, r.Integration, r.Spec.Name, r.Phase)
	if err != nil {
		return nil, err
	}
	mode := abi.SyncModeIncremental
	if r.Initial {
		mode = abi.SyncModeInitial
	}
	value, err := t.s.Integrations.Invoke(ctx, t.in, abi.ExportFetchPage, func(record abi.Integration) any {
		return abi.FetchPageInput{
			Sync: r.Spec.Name, Side: r.Phase.Side(), Mode: mode, Cursor: r.Cursor, Watermark: mark, Limit: max(1, r.Spec.PageSize),
			NewestFirst: r.Backwards(), Integration: record,
		}
	})
	if err != nil {
		return nil, err
	}
	var out abi.FetchPageOutput
	if err := plugin.Decode(value, &out); err != nil {
		return nil, notTheMessage(abi.ExportFetchPage)
	}
	if r.Cursor != "" && out.Cursor == r.Cursor {
		return nil, guestFault(fault.Invalid, "the cursor of the next page is that of this one")
	}
	done.Cursor, done.Watermark, done.Total = out.Cursor, out.Watermark, max(0, out.Total)
	return checked(&out)
}

func notTheMessage(export string) error {
	return guestFault(fault.Internal, "%s answered something else than the contract's message", export)
}

// putOff reads records that were put off.
func (s *Service) putOff(ctx context.Context, r *Run) ([]abi.SyncRecord, error) {
	rows, err := s.Store.PutOff(ctx, r.Owner, r.Integration, r.Spec.Name, r.Phase.Side(), int(max(1, r.Spec.PageSize)))
	records := make([]abi.SyncRecord, 0, len(rows))
	for _, k := range rows {
		record, err := s.openRecord(ctx, r, k)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, err
}

// write hands a batch to the guest, on record: what an earlier try has written is not written again.
func (t *try) write(ctx context.Context) job.Outcome {
	b, err := t.s.Store.BatchByID(ctx, t.job.Owner, t.Batch)
	if fault.Is(err, fault.NotFound) {
		return job.Outcome{} // done, or dropped
	}
	if err != nil {
		return job.Outcome{Err: err}
	}
	items, err := t.s.openItems(ctx, t.run, b)
	if err != nil {
		return t.ends(job.Outcome{Err: err}, &Settled{}, nil)
	}
	records := make([]abi.RecordWrite, 0, len(items))
	for _, it := range items {
		records = append(records, it.RecordWrite)
	}
	delivery := abi.Delivery{ID: string(t.job.ID), Attempt: int64(t.job.Attempt), Last: t.job.Last()}
	value, o, record := t.s.Integrations.Perform(ctx, t.job, t.in, t.run.Spec.Name, abi.ExportWriteBatch, func(record abi.Integration) any {
		return abi.WriteBatchInput{Sync: t.run.Spec.Name, Side: b.Side, Records: records, Integration: record, Delivery: delivery}
	})
	settled := &Settled{}
	if o.Err == nil && !o.Park && o.Until.IsZero() {
		settled.Batch, o.Err = t.wrote(ctx, b, items, value)
	}
	return t.ends(o, settled, record)
}

// wrote takes the results of a batch.
func (t *try) wrote(ctx context.Context, b *Batch, items []item, value json.RawMessage) (*BatchDone, error) {
	var out abi.WriteBatchOutput
	if err := plugin.Decode(value, &out); err != nil {
		return nil, notTheMessage(abi.ExportWriteBatch)
	}
	h, err := t.s.hashes(ctx, t.run)
	if err != nil {
		return nil, err
	}
	results := map[string]*abi.RecordResult{}
	for i := range out.Results {
		results[out.Results[i].ExternalID] = &out.Results[i]
	}
	done := &BatchDone{ID: b.ID}
	for _, it := range items {
		res := results[it.ExternalID]
		if res == nil {
			return nil, guestFault(fault.Internal, "a record of a batch of %s has no result", t.run.Spec.Name)
		}
		result, err := t.result(ctx, h, b, it, res, done)
		if err != nil {
			return nil, err
		}
		done.Results = append(done.Results, result)
	}
	return done, nil
}

// result judges what became of one record, and counts it.
func (t *try) result(ctx context.Context, h hashes, b *Batch, it item, res *abi.RecordResult, done *BatchDone) (Result, error) {
	r := Result{ExternalID: it.ExternalID, TargetID: res.TargetID, Hash: it.Hash, Written: it.Hash, Deleted: it.Op == abi.WriteOpDelete, Skipped: res.Skipped}
	if r.TargetID == "" {
		r.TargetID = it.TargetID
	}
	why := res.Failure
	if why == "" && r.TargetID == "" && !r.Skipped && !r.Deleted {
		why = "the plugin does not say which id it has now"
	}
	if why == "" && len(r.TargetID) > maxID {
		why = fmt.Sprintf("its id has more than %d bytes", maxID)
	}
	if why == "" && len(res.Data) > 0 && !r.Skipped {
		var err error
		if r.Written, err = h.content(res.Data); err != nil {
			why = fault.PublicMessage(err)
		}
	}
	switch {
	case why != "":
		record := abi.SyncRecord{ExternalID: it.ExternalID, Data: it.Data, Deleted: r.Deleted}
		var err error
		if r.Failed, err = t.s.sealRecord(ctx, t.run, Other(b.Side), record); err != nil {
			return r, err
		}
		done.fail(it.ExternalID, why, t.s.now())
	case r.Skipped:
		done.Skipped++
	default:
		done.Synced++
	}
	return r, nil
}

// fail counts a record that failed.
func (a *Addition) fail(id, why string, at time.Time) {
	a.Failed++
	a.Errors = append(a.Errors, Failure{ExternalID: id, Message: clip(why, maxMessage), At: at})
}
