package syncs

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"regexp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Capabilities are what a guest call that works for in may do here.
func (s *Service) Capabilities(in *integration.Integration) (plugin.ProcessCapability, plugin.SyncCapability) {
	g := &guest{s, in}
	return (*process)(g), (*syncing)(g)
}

type guest struct {
	s  *Service
	in *integration.Integration
}

// process serves the record's processes.
type process guest

var word = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

func (c *process) Create(ctx context.Context, q abi.ProcessCreate) (abi.Process, error) {
	if q.State == "" {
		q.State = string(Initializing)
	}
	switch {
	case q.Name == "" || len(q.Name) > maxName:
		return abi.Process{}, guestFault(fault.Invalid, "name must have 1 to %d bytes", maxName)
	case !word.MatchString(q.Type) || !word.MatchString(q.State):
		return abi.Process{}, guestFault(fault.Invalid, "type and state must be upper case, digits and underscores, at most 64")
	case q.Type == TypeSync:
		return abi.Process{}, guestFault(fault.Invalid, "processes of type %s are the host's; choose another type", TypeSync)
	case q.Total < 0 || len(q.Key) > maxID:
		return abi.Process{}, guestFault(fault.Invalid, "total must not be negative, and key has at most %d bytes", maxID)
	}
	content, err := contextOf(q.Context)
	if err != nil {
		return abi.Process{}, err
	}
	now := c.s.now()
	p := &Process{
		ID: NewProcessID(), Owner: c.in.Owner, Integration: c.in.ID, Name: q.Name, Type: q.Type, State: State(q.State), Context: content,
		Total: q.Total, Parent: ProcessID(q.ParentID), CreatedAt: now, UpdatedAt: now,
	}
	if p.State.Ended() {
		p.EndedAt = now
	}
	made, err := c.s.Store.CreateProcess(ctx, p, onceKey(ctx, q.Key))
	if err != nil {
		return abi.Process{}, err
	}
	return told(made), nil
}

// onceKey is what a request is known by when it comes again: the plugin's own key, or that of the host call in a run. A call
// that is no part of a run is not repeated.
func onceKey(ctx context.Context, own string) string {
	if own != "" {
		return "key|" + own
	}
	if recorded := plugin.HostCallOf(ctx); recorded != nil {
		return "run|" + recorded.Key
	}
	return "call|" + rand.Text()
}

func (c *process) Get(ctx context.Context, q abi.ProcessGet) (abi.Process, error) {
	p, err := c.own(ctx, q.ID)
	if err != nil {
		return abi.Process{}, err
	}
	return told(p), nil
}

// own finds a process of the record.
func (c *process) own(ctx context.Context, id string) (*Process, error) {
	p, err := c.s.Store.ProcessByID(ctx, c.in.Owner, ProcessID(id))
	if err == nil && p.Integration != c.in.ID {
		return nil, guestFault(fault.NotFound, "no such process")
	}
	return p, err
}

func (c *process) Update(ctx context.Context, q abi.ProcessUpdate) (abi.Process, error) {
	if _, err := c.own(ctx, q.ID); err != nil {
		return abi.Process{}, err
	}
	var change Change
	if q.State != "" {
		if !word.MatchString(q.State) {
			return abi.Process{}, guestFault(fault.Invalid, "state must be upper case, digits and underscores, at most 64")
		}
		state := State(q.State)
		change.State = &state
	}
	if q.Total < 0 {
		return abi.Process{}, guestFault(fault.Invalid, "total must not be negative")
	}
	if q.Total > 0 {
		change.Total = &q.Total
	}
	if len(q.Context) > 0 {
		patch, err := contextOf(q.Context)
		if err != nil {
			return abi.Process{}, err
		}
		change.Context = patch
	}
	if err := c.s.Store.UpdateProcess(ctx, c.in.Owner, ProcessID(q.ID), change, c.s.now()); err != nil {
		return abi.Process{}, err
	}
	return c.Get(ctx, abi.ProcessGet{ID: q.ID})
}

func (c *process) Add(ctx context.Context, q abi.ProcessAdd) (abi.Process, error) {
	if _, err := c.own(ctx, q.ID); err != nil {
		return abi.Process{}, err
	}
	const most = 1 << 40 // keeps sums of many within 64 bits
	for _, n := range []int64{q.Synced, q.Failed, q.Skipped} {
		if n < 0 || n > most {
			return abi.Process{}, guestFault(fault.Invalid, "totals grow by 0 to %d", int64(most))
		}
	}
	if len(q.Errors) > maxRecords || len(q.Key) > maxID {
		return abi.Process{}, guestFault(fault.Invalid, "at most %d errors at once, and a key has at most %d bytes", maxRecords, maxID)
	}
	a := Addition{Totals: Totals{Synced: q.Synced, Failed: q.Failed, Skipped: q.Skipped}}
	for _, e := range q.Errors {
		a.Errors = append(a.Errors, Failure{ExternalID: clip(e.ExternalID, maxID), Message: clip(e.Message, maxMessage), At: c.s.now()})
	}
	if err := c.s.Store.AddToProcess(ctx, c.in.Owner, ProcessID(q.ID), onceKey(ctx, q.Key), a, c.s.now()); err != nil {
		return abi.Process{}, err
	}
	return c.Get(ctx, abi.ProcessGet{ID: q.ID})
}

// contextOf checks a context, which is an object.
func contextOf(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return json.RawMessage(`{}`), nil
	}
	var o map[string]json.RawMessage
	if len(raw) > maxContext || json.Unmarshal(raw, &o) != nil || o == nil {
		return nil, guestFault(fault.Invalid, "context must be an object of at most %d bytes", maxContext)
	}
	return raw, nil
}

// told is a process as guests know it.
func told(p *Process) abi.Process {
	return abi.Process{
		ID: string(p.ID), Name: p.Name, Type: p.Type, State: string(p.State), Context: p.Context, Total: p.Total,
		Synced: p.Synced, Failed: p.Failed, Skipped: p.Skipped, ParentID: string(p.Parent),
	}
}

// syncing serves the record's syncs and links.
type syncing guest

func (c *syncing) Start(ctx context.Context, q abi.SyncStart) (abi.SyncStarted, error) {
	id, existed, err := c.s.start(ctx, c.in.Owner, c.in.ID, q.Sync, false)
	return abi.SyncStarted{ProcessID: string(id), Existed: existed}, err
}

func (c *syncing) Lookup(ctx context.Context, q abi.SyncLookup) (abi.SyncLink, error) {
	found, err := c.s.Store.RecordsByID(ctx, c.in.Owner, c.in.ID, q.Sync, q.Side, []string{q.ExternalID})
	if err != nil {
		return abi.SyncLink{}, err
	}
	k := found[q.ExternalID]
	if k == nil || k.Counterpart == "" {
		return abi.SyncLink{}, nil
	}
	link := abi.SyncLink{Found: true, ExternalID: k.Counterpart}
	across, err := c.s.Store.RecordsByID(ctx, c.in.Owner, c.in.ID, q.Sync, Other(q.Side), []string{k.Counterpart})
	if o := across[k.Counterpart]; o != nil {
		link.Confirmed = o.Confirmed
	}
	return link, err
}

// maxLinked bounds the bytes of mappings and links of a record.
const maxLinked = 256 << 20

func (c *syncing) Associate(ctx context.Context, q abi.Association) (abi.Empty, error) {
	a, err := association(q)
	if err != nil {
		return abi.Empty{}, err
	}
	return abi.Empty{}, c.s.Store.Associate(ctx, c.in.Owner, c.in.ID, a, maxLinked, c.s.now())
}

func (c *syncing) Dissociate(ctx context.Context, q abi.Association) (abi.Empty, error) {
	a, err := association(q)
	if err != nil {
		return abi.Empty{}, err
	}
	return abi.Empty{}, c.s.Store.Dissociate(ctx, c.in.Owner, c.in.ID, a)
}

func association(q abi.Association) (Association, error) {
	for _, part := range []string{q.Set, q.From, q.To, q.Kind} {
		if part == "" || len(part) > maxID {
			return Association{}, guestFault(fault.Invalid, "set, from, to and kind must have 1 to %d bytes", maxID)
		}
	}
	return Association{Set: q.Set, From: q.From, To: q.To, Kind: q.Kind}, nil
}

func (c *syncing) Associations(ctx context.Context, q abi.AssociationList) (abi.Associations, error) {
	if (q.From == "") == (q.To == "") {
		return abi.Associations{}, guestFault(fault.Invalid, "give either from or to")
	}
	limit := 100
	if q.Limit != 0 {
		limit = int(q.Limit)
	}
	if limit < 1 || limit > maxRecords {
		return abi.Associations{}, guestFault(fault.Invalid, "limit must be between 1 and %d", maxRecords)
	}
	query := AssociationQuery{Association: Association{Set: q.Set, From: q.From, To: q.To, Kind: q.Kind}}
	if q.After != "" {
		raw, err := base64.RawURLEncoding.DecodeString(q.After)
		if err != nil || json.Unmarshal(raw, &query.After) != nil {
			return abi.Associations{}, guestFault(fault.Invalid, "after is not one that an answer gave")
		}
	}
	found, err := c.s.Store.Associations(ctx, c.in.Owner, c.in.ID, query, limit+1)
	if err != nil {
		return abi.Associations{}, err
	}
	out := abi.Associations{Associations: []abi.Association{}}
	for _, a := range found[:min(limit, len(found))] {
		out.Associations = append(out.Associations, abi.Association{Set: a.Set, From: a.From, To: a.To, Kind: a.Kind})
	}
	if len(found) > limit {
		last, _ := json.Marshal(found[limit-1]) // texts
		out.Next = base64.RawURLEncoding.EncodeToString(last)
	}
	return out, nil
}
