package journal

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Export makes a file of a run of the owner, with the plugin itself if asked. It is the caller's. Errors: NotFound; Conflict
// when nothing is on record yet.
func (s *Service) Export(ctx context.Context, a account.Actor, id job.ID, withPlugin bool) (*File, error) {
	run, err := s.Run(ctx, a, id)
	if err != nil {
		return nil, err
	}
	log, err := s.Log(ctx, a, id)
	if err != nil {
		return nil, err
	}
	t := log.Last()
	if t == nil {
		return nil, fault.New(fault.Conflict, "journal.Export", "nothing of this run is on record yet")
	}
	f := &File{Log: log, Run: FileRun{
		ID: string(run.ID), Integration: run.Integration, Event: run.Event, State: string(run.State), Attempt: run.Attempt,
		LastError: run.LastError, Generation: run.Generation,
	}}
	digests := []plugin.Digest{t.Start.Digest}
	for _, p := range slices.Sorted(maps.Keys(t.pins)) {
		digests = append(digests, t.pins[p])
	}
	for _, d := range digests {
		f.add(d, s.module(d))
	}
	if !withPlugin {
		return f, nil
	}
	if f.Module = s.module(t.Start.Digest); f.Module == nil {
		return nil, fault.New(fault.NotFound, "journal.Export", "version %s of %s (%s) is not kept any more, so it cannot be put into the file", t.Start.Version, t.Start.Plugin, t.Start.Digest)
	}
	return f, nil
}

// module returns nil for a version that is not kept.
func (s *Service) module(d plugin.Digest) []byte {
	if s.Module == nil {
		return nil
	}
	module, err := s.Module(d)
	if err != nil {
		return nil
	}
	return module
}

// add names a version that had a part in the run, once.
func (f *File) add(d plugin.Digest, module []byte) {
	if slices.ContainsFunc(f.Plugins, func(p FilePlugin) bool { return p.Digest == d }) {
		return
	}
	p := FilePlugin{Digest: d}
	if start := f.Log.Last().Start; start.Digest == d {
		p.Name, p.Version = start.Plugin, start.Version
	}
	if in, _ := plugin.Inspect(module); in.Manifest != nil {
		p.Name, p.Version, p.Manifest = in.Manifest.Name, in.Manifest.Version, in.Manifest
	}
	f.Plugins = append(f.Plugins, p)
}

// Imported owns runs that were made on another host. They are here to be looked at and repeated, and cannot go on.
const Imported account.Owner = "imported"

// Import keeps the run of a file, for looking at only. Errors: Conflict when it is here already; Invalid.
func (s *Service) Import(ctx context.Context, f *File) (*Run, error) {
	const op = "journal.Import"
	t := f.Log.Last()
	r := &Run{
		ID: job.ID(f.Run.ID), Owner: Imported, Integration: f.Run.Integration, Event: f.Run.Event, Plugin: t.Start.Plugin, Version: t.Start.Version,
		Digest: t.Start.Digest, Generation: f.Run.Generation, StartedAt: t.Start.At, UpdatedAt: s.now(), State: job.State(f.Run.State),
		Attempt: f.Run.Attempt, LastError: f.Run.LastError, RunAt: t.Start.At, CreatedAt: f.Log.Tries[0].Start.At, EndedAt: s.now(),
	}
	number, ok := strings.CutPrefix(f.Run.ID, "job_")
	if !ok || len(number) != 36 || uuid.Validate(number) != nil {
		return nil, fault.New(fault.Invalid, op, "the run in the file has no id as runs have")
	}
	for _, text := range []string{r.Integration, r.Event, r.Plugin, r.Version, r.LastError} {
		if len(text) > 64<<10 {
			return nil, fault.New(fault.Invalid, op, "the run in the file is described by too many words")
		}
	}
	if !r.State.Ended() {
		r.State = job.Canceled // here it does not go on
	}
	c, err := pack(f.records())
	if err != nil {
		return nil, err
	}
	r.Entries, r.Bytes = c.Entries, c.Bytes
	return r, s.Store.ImportRun(ctx, r, c)
}

// Any returns a run of whomever, with its owner: for an operator, who acts for everybody.
func (s *Service) Any(ctx context.Context, id job.ID) (*Run, error) { return s.Store.AnyRun(ctx, id) }

// All lists runs of everybody, newest first, for an operator.
func (s *Service) All(ctx context.Context, f Filter, limit int) ([]*Run, error) {
	if limit < 1 || limit > 10_000 {
		return nil, fault.New(fault.Invalid, "journal.All", "limit must be between 1 and 10000")
	}
	return s.Store.AllRuns(ctx, f, limit)
}
