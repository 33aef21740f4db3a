package integration

import (
	"encoding/json"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// PageQuery asks for a page of records of one side of a sync.
type PageQuery struct {
	Side abi.SyncSide
	// Incremental wants only what changed since Watermark, and what is at it.
	Incremental bool
	Cursor      string // empty for the first page
	Watermark   string // as an earlier page gave it
	Limit       int    // records wanted at most
	NewestFirst bool
}

// Page is a page of records.
type Page[T any] struct {
	Records []SyncRecord[T]
	Next    string // cursor of the next page; empty on the last
	// Watermark is where later runs go on once this page and all before it are done, such as a time. Empty says nothing.
	Watermark string
	Total     int // records of this run, where the vendor says
}

// SyncRecord is a record as it is on one side. Data has the same shape on both, without what changes by itself.
type SyncRecord[T any] struct {
	ID      string
	Data    T
	Deleted bool
}

// RecordWrite is a record that shall be written to a side.
type RecordWrite[T any] struct {
	Side     abi.SyncSide
	Op       abi.WriteOp
	ID       string // on the other side
	TargetID string // where it is written; empty for create
	Data     T      // zero for delete
	// Key is the same in every try, for vendors that keep an id of ours with a record. Idempotency keys are the host's work.
	Key string
}

// Written says what became of a record.
type Written[T any] struct {
	TargetID string
	// Data is the record as the vendor keeps it, if that differs from what was sent.
	Data    *T
	Skipped bool // nothing was to be done
}

type syncHandlers struct {
	fetch func(*Call, abi.FetchPageInput) (abi.FetchPageOutput, error)
	write func(*Call, abi.SyncSide, abi.RecordWrite) (abi.RecordResult, error)
}

var syncs = map[string]syncHandlers{}

// Sync registers how a sync of the manifest reads pages and writes records. The host does the rest: it finds what is new,
// changed or deleted, knows which record here is which there, and goes on where it was after a failure or a crash.
//
// A record whose write fails with a fault that another try cannot mend is counted as failed and tried again in the next run. A
// rate limit, a refused credential, a vendor that is away and the like put the rest of the batch off: it comes again, and what
// was written is not written again.
func Sync[T any](name string, fetch func(*Call, PageQuery) (Page[T], error), write func(*Call, RecordWrite[T]) (Written[T], error)) {
	wire.Declare("sync", name)
	wire.Prepare[T]()
	syncs[name] = syncHandlers{
		fetch: func(c *Call, in abi.FetchPageInput) (abi.FetchPageOutput, error) {
			page, err := fetch(c, PageQuery{
				Side: in.Side, Incremental: in.Mode == abi.SyncModeIncremental, Cursor: in.Cursor, Watermark: in.Watermark,
				Limit: int(in.Limit), NewestFirst: in.NewestFirst,
			})
			if err != nil {
				return abi.FetchPageOutput{}, err
			}
			return page.message()
		},
		write: func(c *Call, side abi.SyncSide, r abi.RecordWrite) (abi.RecordResult, error) {
			w := RecordWrite[T]{Side: side, Op: r.Op, ID: r.ExternalID, TargetID: r.TargetID, Key: r.Key}
			if err := wire.Decode(r.Data, &w.Data, "the record "+r.ExternalID); err != nil {
				return abi.RecordResult{}, err
			}
			done, err := write(c, w)
			if err != nil {
				return abi.RecordResult{}, err
			}
			return done.message(r.ExternalID)
		},
	}
}

func (p Page[T]) message() (abi.FetchPageOutput, error) {
	out := abi.FetchPageOutput{Records: []abi.SyncRecord{}, Cursor: p.Next, Watermark: p.Watermark, Total: int64(p.Total)}
	for _, r := range p.Records {
		record := abi.SyncRecord{ExternalID: r.ID, Deleted: r.Deleted}
		if !r.Deleted {
			data, err := json.Marshal(r.Data)
			if err != nil {
				return out, err
			}
			record.Data = data
		}
		out.Records = append(out.Records, record)
	}
	return out, nil
}

func (w Written[T]) message(id string) (abi.RecordResult, error) {
	out := abi.RecordResult{ExternalID: id, TargetID: w.TargetID, Skipped: w.Skipped}
	if w.Data == nil {
		return out, nil
	}
	data, err := json.Marshal(w.Data)
	out.Data = data
	return out, err
}

func handlersOf(name string) (syncHandlers, error) {
	h, ok := syncs[name]
	if !ok {
		return h, frigg.Unsupported("the sync %s has no handler", name)
	}
	return h, nil
}

func fetchPage(h wire.Host, in abi.FetchPageInput) (abi.FetchPageOutput, error) {
	s, err := handlersOf(in.Sync)
	if err != nil {
		return abi.FetchPageOutput{}, err
	}
	return s.fetch(&Call{Integration: in.Integration, host: h}, in)
}

// putsOff are faults that say nothing of the record: the batch comes again, and goes on where it was.
var putsOff = []frigg.Kind{
	frigg.KindRateLimited, frigg.KindUnauthorized, frigg.KindTimeout, frigg.KindUnavailable, frigg.KindCanceled, frigg.KindExhausted, frigg.KindInternal,
}

func writeBatch(h wire.Host, in abi.WriteBatchInput) (abi.WriteBatchOutput, error) {
	out := abi.WriteBatchOutput{Results: []abi.RecordResult{}}
	s, err := handlersOf(in.Sync)
	if err != nil {
		return out, err
	}
	c := &Call{Integration: in.Integration, Delivery: in.Delivery, host: h}
	for _, r := range in.Records {
		result, err := s.write(c, in.Side, r)
		switch {
		case err == nil:
			out.Results = append(out.Results, result)
		case frigg.Is(err, putsOff...):
			return out, err
		default:
			out.Results = append(out.Results, abi.RecordResult{ExternalID: r.ExternalID, Failure: err.Error()})
		}
	}
	return out, nil
}

// Process is a record of a long piece of work, which people follow.
type Process struct {
	abi.Process
	host wire.Host
}

// NewProcess makes a process of the record; a delivery that is tried again finds the one that it made.
func (c *Call) NewProcess(p abi.ProcessCreate) (Process, error) {
	made, err := wire.ProcessCreate(c.host, p)
	return Process{made, c.host}, err
}

// Process reads a process of the record.
func (c *Call) Process(id string) (Process, error) {
	found, err := wire.ProcessGet(c.host, abi.ProcessGet{ID: id})
	return Process{found, c.host}, err
}

// SetState changes the state; COMPLETED, ERROR and CANCELED end the process.
func (p *Process) SetState(state string) (err error) {
	p.Process, err = wire.ProcessUpdate(p.host, abi.ProcessUpdate{ID: p.ID, State: state})
	return err
}

// Add adds to the totals. Whoever else adds at the same time, nothing is lost, and a delivery that is tried again counts once.
func (p *Process) Add(a abi.ProcessAdd) (err error) {
	a.ID = p.ID
	p.Process, err = wire.ProcessAdd(p.host, a)
	return err
}

// StartSync starts a sync of the record, or finds the run under way, and returns the id of its process.
func (c *Call) StartSync(name string) (process string, err error) {
	started, err := wire.SyncStart(c.host, abi.SyncStart{Sync: name})
	return started.ProcessID, err
}

// Counterpart returns the id on the other side of a record that a sync has linked.
func (c *Call) Counterpart(sync string, side abi.SyncSide, id string) (other string, found bool, err error) {
	link, err := wire.SyncLookup(c.host, abi.SyncLookup{Sync: sync, Side: side, ExternalID: id})
	return link.ExternalID, link.Found, err
}

// Associate links two records, such as a contact and its company; a link that is there is fine.
func (c *Call) Associate(a abi.Association) error {
	_, err := wire.SyncAssociate(c.host, a)
	return err
}

// Dissociate removes a link; removing nothing is fine.
func (c *Call) Dissociate(a abi.Association) error {
	_, err := wire.SyncDissociate(c.host, a)
	return err
}

// Associations lists links from or to a record, all of them.
func (c *Call) Associations(q abi.AssociationList) ([]abi.Association, error) {
	var all []abi.Association
	for {
		page, err := wire.SyncAssociations(c.host, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Associations...)
		if page.Next == "" {
			return all, nil
		}
		q.After = page.Next
	}
}
