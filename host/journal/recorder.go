package journal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/secret"
)

// Bounds of the record of a run since its last checkpoint.
const (
	maxEntries = 10_000
	maxBytes   = 64 << 20
	// maxOutput is up to how many bytes of a guest's output are kept; of more only the hash.
	maxOutput = 64 << 10
	// stale is how old a try may be to go on at the step that failed: what it has read may have changed since.
	stale = time.Hour
)

// Recorder writes the record of one claim of a run, and repeats what is on it. It belongs to one goroutine.
type Recorder struct {
	store     Store
	now       func() time.Time
	entropy   io.Reader
	committed func()
	job       *job.Job
	run       Run

	log     Log
	try     *Try
	resumed bool
	pending []*record // not on disk yet
	fresh   bool      // nothing of this generation is on disk
	size    int       // bytes of what the open try was asked and answered
	entries int

	warn    *slog.Logger
	warned  bool
	counts  map[[sha256.Size]byte]int // equal requests of this try so far
	done    map[string]*Entry         // effects of earlier tries
	root    *frame
	stopped error // why the host ended the guest
	fuel    int64
	own     int64 // of the fuel
	memory  uint64
	output  []byte // of the guest
	began   time.Time
}

// Resume returns the start of the try that goes on: one that was cut short, that slept, or that failed at a step which may
// go better now or which a person wants to try again. It returns nil when a new one has to Begin.
func (r *Recorder) Resume() *Start {
	t := r.log.Last()
	if t == nil {
		return nil
	}
	replayed := r.job.Replays > t.Start.Replay
	if replayed && r.job.Replay.From != job.FailedStep || t.End != nil && !r.reopen(t, replayed) {
		return nil
	}
	r.open(t, true)
	return &t.Start
}

// reopen lets a failed try go on at its failed step.
func (r *Recorder) reopen(t *Try, wanted bool) bool {
	step := t.failedStep()
	if step == nil || t.End.Fault == nil {
		return false
	}
	young := r.now().Sub(t.Start.At) < stale && !r.job.Last()
	if !wanted && !(young && mendable(step.Fault())) {
		return false
	}
	return r.write(&record{Kind: kindReopen, At: r.now(), Replay: r.job.Replays}) == nil
}

// Previous returns the start of the last try on record, nil if there is none. It may be that of a checkpoint.
func (r *Recorder) Previous() *Start {
	if t := r.log.Last(); t != nil {
		return &t.Start
	}
	return nil
}

// Begin begins a try from the start. Digest, plugin, version, export, input, handles and contract are the caller's to say.
func (r *Recorder) Begin(s Start) (*Start, error) {
	s.At = r.now()
	s.Generation, s.Replay = r.run.Generation, r.job.Replays
	if _, err := io.ReadFull(r.entropy, s.Seed[:]); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "journal.Begin", "there is no randomness")
	}
	if err := r.write(&record{Kind: kindBegin, Start: &s, request: s.Input}); err != nil {
		return nil, err
	}
	r.open(r.log.Last(), false)
	return &r.try.Start, nil
}

func (r *Recorder) open(t *Try, resumed bool) {
	r.try, r.resumed, r.stopped = t, resumed, nil
	r.counts = map[[sha256.Size]byte]int{}
	r.done = (&Log{Tries: r.log.Tries[:len(r.log.Tries)-1]}).begunBefore()
	r.entries, r.size = len(t.Entries), t.bytes()
	r.run.Plugin, r.run.Version, r.run.Digest = t.Start.Plugin, t.Start.Version, t.Start.Digest
	r.root = &frame{r: r, at: t.Start.At, seed: t.Start.Seed}
	r.began = r.now()
}

// Journal is that of the guest call of the open try.
func (r *Recorder) Journal() plugin.Journal { return r.root }

// Stopped is why the host ended the guest: a *Suspended, *Undecided, *Diverged, *Checkpoint, or a failure to write the
// record. It is nil when the guest ended of itself.
func (r *Recorder) Stopped() error { return r.stopped }

// write puts a record into the log here, to be on disk with the next flush.
func (r *Recorder) write(rec *record) error {
	if err := r.log.apply(rec); err != nil {
		return err
	}
	r.pending = append(r.pending, rec)
	r.size += len(rec.request) + len(rec.answer)
	return nil
}

// takeBack forgets what was written last and could not be committed: the end of the claim must not put it on disk.
func (r *Recorder) takeBack() {
	last := len(r.pending) - 1
	rec := r.pending[last]
	r.pending = r.pending[:last]
	if e := r.try.byPath[rec.Path]; e != nil {
		r.try.remove(e)
	}
}

// flush puts what is pending on disk. Within Together it is a part of that act.
func (r *Recorder) flush(ctx context.Context) error {
	if len(r.pending) == 0 {
		return nil
	}
	c, err := r.chunk()
	if err != nil {
		return err
	}
	return r.store.AppendJournal(ctx, &r.run, r.job.Epoch, c, r.restarts())
}

// restarts reports that the log on disk is of an earlier generation.
func (r *Recorder) restarts() bool { return r.fresh && r.run.Generation > 0 }

// chunk packs what is pending.
func (r *Recorder) chunk() (*Chunk, error) {
	c, err := pack(r.pending)
	if err != nil {
		return nil, err
	}
	r.run.UpdatedAt = r.now()
	r.run.Doubt = ""
	if e := r.log.Doubt(); e != nil {
		r.run.Doubt = e.Path
	}
	return c, nil
}

// flushed notes that what was pending is on disk.
func (r *Recorder) flushed() { r.pending, r.fresh = r.pending[:0:0], false }

// commit flushes by itself.
func (r *Recorder) commit(ctx context.Context) error {
	// What is on disk must be known to be: who leaves now would not know.
	if err := r.flush(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	r.flushed()
	return nil
}

// Closing is what has to be committed with the settlement of the job: nil, or what is not on disk yet.
type Closing struct {
	Run     *Run
	Chunk   *Chunk
	Restart bool // what was on record before is forgotten
}

// Close ends the claim. Unless the try goes on later, err is how it ended, nil for success.
func (r *Recorder) Close(err error) (*Closing, error) {
	if r.try != nil && r.stopped == nil && !cutShort(err) && !r.idle(err) {
		end := &Ending{At: r.now(), Fuel: r.fuel, Own: r.own, Memory: r.memory, Took: r.now().Sub(r.began), Sum: sumOf(r.output)}
		if err != nil {
			f := plugin.FaultOf(err)
			end.Fault = &f
		}
		last := &record{Kind: kindEnd, End: end}
		if len(r.output) <= maxOutput {
			last.answer = r.output
		}
		if werr := r.write(last); werr != nil {
			return nil, werr
		}
	}
	if len(r.pending) == 0 {
		return nil, nil
	}
	c, cerr := r.chunk()
	if cerr != nil {
		return nil, cerr
	}
	return &Closing{Run: &r.run, Chunk: c, Restart: r.restarts()}, nil
}

// cutShort reports that a try did not end but was interrupted by us.
func cutShort(err error) bool {
	return fault.Is(err, fault.Canceled) && fault.SideOf(err) != fault.Guest
}

// idle reports that no guest ran, since too many others did: the try begins when there is room.
func (r *Recorder) idle(err error) bool {
	return r.root.n == 0 && r.output == nil && fault.Is(err, fault.RateLimited) && fault.SideOf(err) == fault.Host
}

// ended checks that a guest which ended of itself has asked for all that is on record.
func (r *Recorder) ended() error {
	if r.stopped == nil && r.resumed && r.root.n < r.try.known() {
		next := r.try.byPath[Path("").child(r.root.n+1)]
		r.stopped = &Diverged{Path: next.Path, Recorded: *next}
	}
	return r.stopped
}

// Finish says how the guest call went: err is that of the call, unless the host ended the guest.
func (r *Recorder) Finish(err error) error {
	if r.stopped != nil {
		return r.stopped
	}
	if cutShort(err) {
		return err
	}
	return cmp.Or(r.ended(), err)
}

// Restart begins the next generation, at a checkpoint, with this input: what was on record is forgotten in the act that puts
// its start on disk. The try goes on with the next claim.
func (r *Recorder) Restart(input json.RawMessage) error {
	s := r.try.Start
	s.Input = input
	r.run.Generation++
	r.log, r.pending, r.fresh = Log{}, nil, true
	_, err := r.Begin(s)
	r.try = nil
	return err
}

// keyOf is the idempotency key of an effect: it depends on the run, on what is asked, on how often that was asked before in
// this try, and on whom it was asked for; not on the try.
func (r *Recorder) keyOf(f *frame, capability, function string, request []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s|%d|%s|%s.%s|", r.run.ID, r.run.Generation, f.key, capability, function)
	h.Write([]byte(secret.WithoutHandles(string(request))))
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	r.counts[sum]++
	all := sha256.Sum256(fmt.Appendf(nil, "%x|%d", sum, r.counts[sum]))
	return "frigg-" + hex.EncodeToString(all[:16])
}

// still fails when the claim under which this record is written is over.
func (r *Recorder) still(ctx context.Context) error {
	return r.store.HoldsClaim(ctx, r.run.Owner, r.run.ID, r.job.Epoch)
}

// ErrFull is the cause of the failure of a run that asked for more than can be kept on record. Another try would, too.
var ErrFull = errors.New("the record is full")

// room reports an error when the record is full.
func (r *Recorder) room() error {
	if !r.warned && (r.entries >= maxEntries*8/10 || r.size >= maxBytes*8/10) {
		r.warned = true
		r.warn.Warn("a run has asked the host for much of what can be kept on record; it should make checkpoints", "op", "journal.Serve",
			"owner", string(r.run.Owner), "job", string(r.run.ID), "plugin", r.run.Plugin, "host_calls", r.entries, "bytes", r.size)
	}
	if r.entries < maxEntries && r.size < maxBytes {
		return nil
	}
	return &fault.Error{
		Kind: fault.Exhausted, Side: fault.Guest, Op: "journal.Serve", Err: ErrFull,
		Msg: fmt.Sprintf("the run has asked the host for more than can be kept on record (%d calls, %d MiB): it must make checkpoints", maxEntries, maxBytes>>20),
	}
}

// answerOf is the answer that a decision gives to the guest.
func answerOf(d *Decision) []byte {
	b, err := json.Marshal(abi.Answer{Value: d.Answer})
	if err != nil {
		return []byte(`{"fault":{"kind":"internal","side":"host","message":"the decision cannot be read"}}`)
	}
	return b
}
