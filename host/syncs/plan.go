package syncs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// fetched is a record of a page with its hashes.
type fetched struct {
	abi.SyncRecord
	hash, key string
}

// item is a record of a batch, sealed with it.
type item struct {
	abi.RecordWrite
	Hash string `json:"hash"`
}

// verdict says what a record needs.
type verdict int

const (
	nothing   verdict = iota
	linkOnly          // it is the same as its match already
	putOff            // an earlier version is on its way
	ambiguous         // several records match
	write             // op and target say what
)

// decision is a verdict with its details.
type decision struct {
	verdict
	op     abi.WriteOp
	target string // on the other side
	link   bool   // target was matched, and not linked before
}

// judge compares a record with what is known of it, and with the records across that match. Nobody else may decide it.
func judge(f fetched, known *Record, matches []*Record) decision {
	linked := known != nil && known.Counterpart != ""
	switch {
	case known != nil && known.Busy:
		return decision{verdict: putOff}
	case f.Deleted && linked:
		return decision{verdict: write, op: abi.WriteOpDelete, target: known.Counterpart}
	case f.Deleted, linked && known.Hash == f.hash:
		return decision{verdict: nothing}
	case linked:
		return decision{verdict: write, op: abi.WriteOpUpdate, target: known.Counterpart}
	}
	var free []*Record
	for _, m := range matches {
		if m.Counterpart == "" && !m.Busy {
			free = append(free, m)
		}
	}
	switch {
	case len(free) == 0:
		return decision{verdict: write, op: abi.WriteOpCreate}
	case len(free) > 1:
		return decision{verdict: ambiguous}
	case free[0].Hash == f.hash:
		return decision{verdict: linkOnly, target: free[0].ID, link: true}
	}
	return decision{verdict: write, op: abi.WriteOpUpdate, target: free[0].ID, link: true}
}

// planner turns the records of a page into what is settled with it.
type planner struct {
	s     *Service
	run   *Run
	side  abi.SyncSide // that was read
	hash  hashes
	done  *PageDone
	items []item
	rows  []int // of the items, in done.Planned
}

// plan compares the records of a page with what is known.
func (s *Service) plan(ctx context.Context, r *Run, records []abi.SyncRecord, done *PageDone) error {
	h, err := s.hashes(ctx, r)
	if err != nil {
		return err
	}
	p := &planner{s: s, run: r, side: r.Phase.Side(), hash: h, done: done}
	page, ids, keys := make([]fetched, len(records)), []string{}, []string{}
	for i, rec := range records {
		if page[i], err = p.hashed(rec); err != nil {
			return err
		}
		ids = append(ids, rec.ExternalID)
		if page[i].key != "" {
			keys = append(keys, page[i].key)
		}
	}
	known, err := s.Store.RecordsByID(ctx, r.Owner, r.Integration, r.Spec.Name, p.side, ids)
	if err != nil {
		return err
	}
	if r.Phase == Index {
		p.index(page)
		return nil
	}
	matches, err := s.Store.RecordsByKey(ctx, r.Owner, r.Integration, r.Spec.Name, Other(p.side), keys)
	if err != nil {
		return err
	}
	for _, f := range page {
		if err := p.one(ctx, f, known[f.ExternalID], matches[f.key]); err != nil {
			return err
		}
	}
	return p.flush(ctx)
}

func (p *planner) hashed(r abi.SyncRecord) (fetched, error) {
	f := fetched{SyncRecord: r}
	if r.Deleted {
		return f, nil
	}
	var err error
	f.hash, err = p.hash.content(r.Data)
	f.key = p.hash.key(p.run.Spec.Match, r.Data)
	return f, err
}

// index only remembers what is there, and forgets what is not any more.
func (p *planner) index(page []fetched) {
	for _, f := range page {
		p.done.Seen = append(p.done.Seen, Seen{Record: Record{Side: p.side, ID: f.ExternalID, Hash: f.hash}, Key: f.key, Gone: f.Deleted})
	}
}

// one decides about a record.
func (p *planner) one(ctx context.Context, f fetched, known *Record, matches []*Record) error {
	d := judge(f, known, matches)
	row := Record{Side: p.side, ID: f.ExternalID, Counterpart: d.target}
	if d.link {
		for _, m := range matches {
			if m.ID == d.target {
				m.Counterpart = f.ExternalID // for those that follow on this page
			}
		}
	}
	switch d.verdict {
	case nothing, linkOnly:
		row.Hash = f.hash
		p.done.Seen = append(p.done.Seen, Seen{Record: row, Key: f.key, Link: d.link, Gone: f.Deleted})
		p.done.Skipped++
		return nil
	case putOff, ambiguous:
		return p.keep(ctx, f, row, d.verdict)
	}
	p.done.Planned = append(p.done.Planned, Planned{Record: row, Key: f.key, Link: d.link})
	p.rows = append(p.rows, len(p.done.Planned)-1)
	p.items = append(p.items, item{abi.RecordWrite{ExternalID: f.ExternalID, Op: d.op, TargetID: d.target, Data: f.Data}, f.hash})
	if len(p.items) == int(max(1, p.run.Spec.Batch)) {
		return p.flush(ctx)
	}
	return nil
}

// keep puts a record off, with its content.
func (p *planner) keep(ctx context.Context, f fetched, row Record, v verdict) (err error) {
	if row.Data, err = p.s.sealRecord(ctx, p.run, p.side, f.SyncRecord); err != nil {
		return err
	}
	p.done.Planned = append(p.done.Planned, Planned{Record: row, Key: f.key, Again: v == putOff, Failed: v == ambiguous})
	if v == ambiguous {
		p.done.fail(f.ExternalID, "several records on the other side match it; link it there by hand, or merge them", p.s.now())
	}
	return nil
}

// flush makes a batch of the items so far.
func (p *planner) flush(ctx context.Context) error {
	if len(p.items) == 0 {
		return nil
	}
	b := Batch{ID: newBatchID(), Process: p.run.Process, Side: Other(p.side)}
	for i := range p.items {
		p.items[i].Key = writeKey(b.ID, p.items[i].ExternalID)
		p.done.Planned[p.rows[i]].Batch = b.ID
	}
	var err error
	b.Data, err = p.s.sealItems(ctx, p.run, b.ID, p.items)
	p.done.Batches = append(p.done.Batches, b)
	p.items, p.rows = nil, nil
	return err
}

// writeKey is the same in every try of a record's write.
func writeKey(b BatchID, id string) string {
	sum := sha256.Sum256([]byte(string(b) + "\x00" + id))
	return "frigg-" + hex.EncodeToString(sum[:16])
}

func (s *Service) sealItems(ctx context.Context, r *Run, b BatchID, items []item) (string, error) {
	text, err := json.Marshal(items)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "syncs.seal", "a batch cannot be encoded")
	}
	return s.Vault.Seal(ctx, string(r.Owner), batchPlace(b), secret.NewText(string(text)))
}

func batchPlace(b BatchID) secret.Place {
	return secret.Place{Table: "sync_batches", Column: "data", Row: string(b)}
}

func (s *Service) openItems(ctx context.Context, r *Run, b *Batch) (items []item, err error) {
	text, err := s.Vault.Open(ctx, string(r.Owner), batchPlace(b.ID), b.Data)
	if err != nil {
		return nil, err
	}
	return items, fault.Wrap(json.Unmarshal([]byte(text.Reveal()), &items), fault.Internal, "syncs.open", "a batch cannot be read")
}

func (s *Service) sealRecord(ctx context.Context, r *Run, side abi.SyncSide, record abi.SyncRecord) (string, error) {
	text, err := json.Marshal(record)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "syncs.seal", "a record cannot be encoded")
	}
	return s.Vault.Seal(ctx, string(r.Owner), r.place(side, record.ExternalID), secret.NewText(string(text)))
}

func (s *Service) openRecord(ctx context.Context, r *Run, k *Record) (record abi.SyncRecord, err error) {
	text, err := s.Vault.Open(ctx, string(r.Owner), r.place(k.Side, k.ID), k.Data)
	if err != nil {
		return record, err
	}
	return record, fault.Wrap(json.Unmarshal([]byte(text.Reveal()), &record), fault.Internal, "syncs.open", "a record cannot be read")
}
