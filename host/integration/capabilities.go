package integration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
)

const (
	maxKey      = 512
	maxValue    = 256 << 10
	maxEntries  = 1000
	maxMessages = 100
	maxDelay    = 366 * 24 * time.Hour
	maxStorage  = 32 << 20  // bytes of keys and values of a record
	maxMapped   = 256 << 20 // bytes of mappings of a record
	maxEnqueued = 10_000    // waiting jobs of a record that its guests enqueued
	maxReceived = 50_000    // waiting jobs of a record at which vendors are asked to come later
)

func guestFault(kind fault.Kind, format string, args ...any) error {
	return &fault.Error{Kind: kind, Side: fault.Guest, Op: "integration.capability", Msg: fmt.Sprintf(format, args...)}
}

func checkKey(what, key string) error {
	if key == "" || len(key) > maxKey {
		return guestFault(fault.Invalid, "%s must have 1 to %d bytes", what, maxKey)
	}
	return nil
}

func checkValue(v json.RawMessage) error {
	if len(v) == 0 {
		return guestFault(fault.Invalid, "value is missing")
	}
	if len(v) > maxValue {
		return guestFault(fault.TooLarge, "a value has at most %d bytes", maxValue)
	}
	return nil
}

func pageSize(limit int64) (int, error) {
	switch {
	case limit == 0:
		return 100, nil
	case limit < 0 || limit > maxEntries:
		return 0, guestFault(fault.Invalid, "limit must be between 1 and %d", maxEntries)
	}
	return int(limit), nil
}

// storage serves the record's key-value store.
type storage run

func (c *storage) Get(ctx context.Context, q abi.StorageGet) (abi.StorageValue, error) {
	v, err := c.s.Store.StoredValue(ctx, c.in.Owner, c.in.ID, q.Key)
	if fault.Is(err, fault.NotFound) {
		return abi.StorageValue{}, nil
	}
	return abi.StorageValue{Found: err == nil, Value: v}, err
}

func (c *storage) Put(ctx context.Context, q abi.StoragePut) (abi.Empty, error) {
	if err := checkKey("key", q.Key); err != nil {
		return abi.Empty{}, err
	}
	if err := checkValue(q.Value); err != nil {
		return abi.Empty{}, err
	}
	return abi.Empty{}, c.s.Store.PutValue(ctx, c.in.Owner, c.in.ID, q.Key, q.Value, maxStorage, c.s.now())
}

func (c *storage) Delete(ctx context.Context, q abi.StorageDelete) (abi.Empty, error) {
	return abi.Empty{}, c.s.Store.DeleteValue(ctx, c.in.Owner, c.in.ID, q.Key)
}

func (c *storage) List(ctx context.Context, q abi.StorageList) (abi.StorageKeys, error) {
	n, err := pageSize(q.Limit)
	if err != nil {
		return abi.StorageKeys{}, err
	}
	keys, err := c.s.Store.ValueKeys(ctx, c.in.Owner, c.in.ID, q.Prefix, q.After, n+1)
	if len(keys) > n {
		return abi.StorageKeys{Keys: keys[:n], More: true}, err
	}
	return abi.StorageKeys{Keys: keys}, err
}

// mapping serves the record's mappings.
type mapping run

func (c *mapping) Get(ctx context.Context, q abi.MappingGet) (abi.MappingValue, error) {
	v, err := c.s.Store.MappingBySource(ctx, c.in.Owner, c.in.ID, q.Set, q.SourceID)
	if fault.Is(err, fault.NotFound) {
		return abi.MappingValue{}, nil
	}
	return abi.MappingValue{Found: err == nil, Value: v}, err
}

func (c *mapping) Put(ctx context.Context, q abi.MappingPut) (abi.MappingPutResult, error) {
	if len(q.Entries) == 0 || len(q.Entries) > maxEntries {
		return abi.MappingPutResult{}, guestFault(fault.Invalid, "entries must have 1 to %d elements", maxEntries)
	}
	entries := make([]Mapping, 0, len(q.Entries))
	for _, e := range q.Entries {
		if err := checkKey("source_id", e.SourceID); err != nil {
			return abi.MappingPutResult{}, err
		}
		if err := checkValue(e.Value); err != nil {
			return abi.MappingPutResult{}, err
		}
		if len(e.Set) > maxKey {
			return abi.MappingPutResult{}, guestFault(fault.Invalid, "set must have at most %d bytes", maxKey)
		}
		entries = append(entries, Mapping{Set: e.Set, SourceID: e.SourceID, Value: e.Value})
	}
	stored, err := c.s.Store.PutMappings(ctx, c.in.Owner, c.in.ID, entries, q.IfAbsent, maxMapped, c.s.now())
	return abi.MappingPutResult{Stored: stored}, err
}

func (c *mapping) Delete(ctx context.Context, q abi.MappingDelete) (abi.Empty, error) {
	return abi.Empty{}, c.s.Store.DeleteMapping(ctx, c.in.Owner, c.in.ID, q.Set, q.SourceID)
}

func (c *mapping) List(ctx context.Context, q abi.MappingList) (abi.MappingEntries, error) {
	n, err := pageSize(q.Limit)
	if err != nil {
		return abi.MappingEntries{}, err
	}
	found, err := c.s.Store.Mappings(ctx, c.in.Owner, c.in.ID, q.Set, q.After, n+1)
	if err != nil {
		return abi.MappingEntries{}, err
	}
	out := abi.MappingEntries{Entries: []abi.MappingEntry{}, More: len(found) > n}
	for _, m := range found[:min(n, len(found))] {
		out.Entries = append(out.Entries, abi.MappingEntry{Set: m.Set, SourceID: m.SourceID, Value: m.Value})
	}
	return out, nil
}

// queue serves further work for the record.
type queue run

func (c *queue) Enqueue(ctx context.Context, q abi.QueueEnqueue) (abi.QueueJob, error) {
	jobs, err := c.EnqueueBatch(ctx, abi.QueueEnqueueBatch{Events: []abi.QueueEnqueue{q}})
	if err != nil {
		return abi.QueueJob{}, err
	}
	return jobs.Jobs[0], nil
}

func (c *queue) EnqueueBatch(ctx context.Context, q abi.QueueEnqueueBatch) (abi.QueueJobs, error) {
	if len(q.Events) == 0 || len(q.Events) > abi.LimitEnqueueBatch {
		return abi.QueueJobs{}, guestFault(fault.Invalid, "events must have 1 to %d elements", abi.LimitEnqueueBatch)
	}
	var batch []job.New
	for i, e := range q.Events {
		if err := c.check(e); err != nil {
			return abi.QueueJobs{}, err
		}
		n := c.s.eventJob(c.in, e.Event, payload{Data: e.Data})
		n.Priority = int(e.Priority)
		n.RunAt = n.CreatedAt.Add(time.Duration(e.DelayMS) * time.Millisecond)
		n.UniqueKey, n.Once = c.unique(ctx, e, i)
		batch = append(batch, n)
	}
	done, err := c.s.Store.EnqueueFor(ctx, c.in.Owner, c.in.ID, batch, maxEnqueued)
	if err != nil {
		return abi.QueueJobs{}, err
	}
	c.s.wake()
	out := abi.QueueJobs{Jobs: []abi.QueueJob{}}
	for _, d := range done {
		out.Jobs = append(out.Jobs, abi.QueueJob{ID: string(d.ID), Existed: d.Existed})
	}
	return out, nil
}

func (c *queue) check(q abi.QueueEnqueue) error {
	switch {
	case !c.plugin.Manifest.EventDeclared(q.Event):
		return guestFault(fault.Invalid, "event %s is not declared in the manifest", q.Event)
	case len(q.Data) > maxValue:
		return guestFault(fault.TooLarge, "data of an event has at most %d bytes", maxValue)
	case q.DelayMS < 0 || q.DelayMS > maxDelay.Milliseconds():
		return guestFault(fault.Invalid, "delay_ms must be between 0 and a year")
	case q.Priority < -job.MaxPriority || q.Priority > job.MaxPriority:
		return guestFault(fault.Invalid, "priority must be between %d and %d", -job.MaxPriority, job.MaxPriority)
	}
	return nil
}

// unique keeps keys of different records apart. Without a key of the guest's own, a repeated try of a delivery enqueues
// the same work once for good, also when the first was worked off meanwhile. i is its place in the call.
func (c *queue) unique(ctx context.Context, q abi.QueueEnqueue, i int) (key string, once bool) {
	recorded := plugin.HostCallOf(ctx)
	switch {
	case q.UniqueKey != "":
		return string(c.in.ID) + "|" + q.UniqueKey, false
	case recorded == nil:
		return string(c.in.ID) + "|" + rand.Text(), false
	case i == 0:
		return string(c.in.ID) + "|" + recorded.Key, true
	}
	return fmt.Sprintf("%s|%s|%d", c.in.ID, recorded.Key, i), true
}

// record serves the guest's changes of its own record.
type record run

func (c *record) Update(ctx context.Context, q abi.IntegrationUpdate) (abi.Integration, error) {
	if len(q.Messages) > maxMessages {
		return abi.Integration{}, guestFault(fault.Invalid, "at most %d messages at once", maxMessages)
	}
	messages := make([]Message, 0, len(q.Messages))
	for _, m := range q.Messages {
		if !m.Level.Valid() {
			return abi.Integration{}, guestFault(fault.Invalid, "message level %q is unknown", m.Level)
		}
		messages = append(messages, Message{Level: m.Level, Title: clip(m.Title, 200), Message: clip(m.Message, 4000), At: c.s.now()})
	}
	if q.Status == "" && len(q.Config) == 0 {
		return c.note(ctx, messages)
	}
	for range 5 { // somebody else may change the record at the same time
		in, err := c.s.Store.IntegrationByID(ctx, c.in.Owner, c.in.ID)
		if err != nil {
			return abi.Integration{}, err
		}
		if err := c.change(in, q); err != nil {
			return abi.Integration{}, err
		}
		in.UpdatedAt = c.s.now()
		err = c.s.Store.SaveIntegration(ctx, in, messages, nil)
		if fault.Is(err, fault.Conflict) {
			continue
		}
		if err != nil {
			return abi.Integration{}, err
		}
		return (*run)(c).record(ctx, in)
	}
	return abi.Integration{}, fault.New(fault.Conflict, "integration.update", "the integration keeps changing; try again")
}

// note appends messages, which never stands in the way of other changes.
func (c *record) note(ctx context.Context, messages []Message) (abi.Integration, error) {
	if err := c.s.Store.AppendMessages(ctx, c.in.Owner, c.in.ID, messages); err != nil {
		return abi.Integration{}, err
	}
	in, err := c.s.Store.IntegrationByID(ctx, c.in.Owner, c.in.ID)
	if err != nil {
		return abi.Integration{}, err
	}
	return (*run)(c).record(ctx, in)
}

func (c *record) change(in *Integration, q abi.IntegrationUpdate) error {
	if q.Status != "" && q.Status != in.Status {
		if !q.Status.Valid() || !guestMaySet(in.Status, q.Status) {
			return guestFault(fault.Invalid, "a guest cannot move an integration from %s to %s", in.Status, q.Status)
		}
		in.Status = q.Status
	}
	if len(q.Config) == 0 {
		return nil
	}
	config, err := decodeObject("integration.update", in.Config)
	if err != nil {
		return err
	}
	patch, err := decodeObject("integration.update", q.Config)
	if err != nil {
		return err
	}
	merged := config.merge(patch).encode()
	if len(merged) > maxValue {
		return guestFault(fault.TooLarge, "a configuration has at most %d bytes", maxValue)
	}
	in.Config = merged
	return nil
}

func clip(s string, n int) string {
	r := []rune(s)
	if len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
