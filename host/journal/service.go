package journal

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Service is what workers and people do with the records of runs.
type Service struct {
	Store Store
	Now   func() time.Time
	// Warnings hears of runs that ask too much; nil discards it.
	Warnings *slog.Logger
	// Entropy is where seeds come from; nil is crypto/rand.
	Entropy io.Reader
	// Committed is told when an effect inside this host was committed: there may be more work. Nil tells nobody.
	Committed func()
	// Module finds the bytes of a version, for files. Nil finds none.
	Module func(plugin.Digest) ([]byte, error)
	// Unpark queues the job of a run that waited for a decision; GiveUp ends it.
	Unpark func(ctx context.Context, o account.Owner, id job.ID, now time.Time) error
	GiveUp func(ctx context.Context, a account.Actor, id job.ID) error
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// Open opens the record of a claimed job. integration and event say what the run is for.
func (s *Service) Open(ctx context.Context, j *job.Job, integration, event string) (*Recorder, error) {
	r := &Recorder{
		store: s.Store, now: s.now, entropy: s.Entropy, committed: s.Committed, job: j,
		run: Run{ID: j.ID, Owner: j.Owner, Integration: integration, Event: event, StartedAt: s.now(), Modules: []plugin.Digest{}},
	}
	if r.warn = s.Warnings; r.warn == nil {
		r.warn = slog.New(slog.DiscardHandler)
	}
	if r.entropy == nil {
		r.entropy = rand.Reader
	}
	if j.Epoch == 1 { // the first claim: there is nothing on record
		return r, nil
	}
	log, err := s.read(ctx, j.Owner, j.ID, (*Log).lighten)
	if err != nil {
		return nil, err
	}
	r.log = *log
	for _, t := range log.Tries {
		for _, d := range t.pins {
			r.run.Modules = append(r.run.Modules, d)
		}
	}
	if t := log.Last(); t != nil {
		r.run.Generation = t.Start.Generation
	}
	return r, nil
}

// read loads a log; after is called after each chunk, if it is not nil.
func (s *Service) read(ctx context.Context, o account.Owner, id job.ID, after func(*Log)) (*Log, error) {
	chunks, blobs, err := s.Store.JournalOf(ctx, o, id)
	if err != nil {
		return nil, err
	}
	l := &Log{}
	for _, c := range chunks {
		if err := l.load(c, blobs); err != nil {
			return nil, err
		}
		if after != nil {
			after(l)
		}
	}
	return l, nil
}

// load adds the records of a chunk.
func (l *Log) load(chunk []byte, blobs map[string][]byte) error {
	records, err := unpack(chunk, func(sum string) ([]byte, error) {
		if b, ok := blobs[sum]; ok {
			return b, nil
		}
		return nil, fault.New(fault.NotFound, "journal.read", "an answer of this run is not kept any more")
	})
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := l.apply(r); err != nil {
			return err
		}
	}
	return nil
}

// Run returns a run of the owner, else fault.NotFound.
func (s *Service) Run(ctx context.Context, a account.Actor, id job.ID) (*Run, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	return s.Store.RunByID(ctx, a.Owner, id)
}

// Runs lists the owner's runs, newest first.
func (s *Service) Runs(ctx context.Context, a account.Actor, f Filter, limit int) ([]*Run, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	if limit < 1 || limit > 200 {
		return nil, fault.New(fault.Invalid, "journal.Runs", "limit must be between 1 and 200")
	}
	return s.Store.Runs(ctx, a.Owner, f, limit)
}

// Log returns what is on record of a run of the owner.
func (s *Service) Log(ctx context.Context, a account.Actor, id job.ID) (*Log, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	return s.read(ctx, a.Owner, id, nil)
}

// Decide says what became of the effect for which a run waits, and lets the run go on. answer is the message of the contract
// that the guest gets, for Happened. Errors: NotFound; Conflict when the run waits for nothing.
func (s *Service) Decide(ctx context.Context, a account.Actor, id job.ID, c Choice, answer json.RawMessage, by string) error {
	const op = "journal.Decide"
	l, err := s.Log(ctx, a, id)
	if err != nil {
		return err
	}
	run, err := s.Store.RunByID(ctx, a.Owner, id)
	if err != nil {
		return err
	}
	e := l.Doubt()
	if e == nil || run.State != job.Parked {
		return fault.New(fault.Conflict, op, "the run waits for no decision; it is %s", run.State)
	}
	switch c {
	case GiveUp:
		return s.GiveUp(ctx, a, id)
	case Resend:
		answer = nil
	case Happened:
		if answer, err = checked(e, answer); err != nil {
			return err
		}
	default:
		return fault.New(fault.Invalid, op, "choose %s, %s or %s", Happened, Resend, GiveUp)
	}
	d := &Decision{Choice: c, Answer: answer, By: by, At: s.now()}
	chunk, err := pack([]*record{{Kind: kindDecide, Path: e.Path, Decision: d}})
	if err != nil {
		return err
	}
	return s.Store.Together(ctx, func(ctx context.Context) error {
		if err := s.Store.AnnotateJournal(ctx, a.Owner, id, chunk, s.now()); err != nil {
			return err
		}
		return s.Unpark(ctx, a.Owner, id, s.now())
	})
}

// checked fills what a person may leave out of the answer that an effect had.
func checked(e *Entry, answer json.RawMessage) (json.RawMessage, error) {
	if e.Capability == "http" {
		r := abi.HTTPResponse{Status: 200}
		if len(answer) > 0 && json.Unmarshal(answer, &r) != nil || r.Status < 100 || r.Status > 599 {
			return nil, fault.New(fault.Invalid, "journal.Decide", `the answer must be a response such as {"status": 201, "text": "{\"id\": 7}"}`)
		}
		if r.Headers == nil {
			r.Headers = map[string][]string{}
		}
		return json.Marshal(r)
	}
	if len(answer) == 0 {
		return json.RawMessage(`{}`), nil
	}
	if !json.Valid(answer) {
		return nil, fault.New(fault.Invalid, "journal.Decide", "the answer must be JSON")
	}
	return answer, nil
}
