package integration

import (
	"encoding/json"
	"iter"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Mapping remembers a value for ids of one side. Its entries belong to the record and are deleted with it.
type Mapping[T any] struct {
	host wire.Host
	set  string
}

// Map returns the mapping with this name.
func Map[T any](c *Call, name string) Mapping[T] { return Mapping[T]{c.host, name} }

// Entry is one entry of a mapping.
type Entry[T any] struct {
	ID    string
	Value T
}

// Get looks id up; found is false if there is no entry.
func (m Mapping[T]) Get(id string) (value T, found bool, err error) {
	a, err := wire.MappingGet(m.host, abi.MappingGet{Set: m.set, SourceID: id})
	if err != nil || !a.Found {
		return value, false, err
	}
	return value, true, wire.Decode(a.Value, &value, "the mapping of "+id)
}

// Put writes an entry, over an older one.
func (m Mapping[T]) Put(id string, value T) error {
	_, err := m.put(false, Entry[T]{id, value})
	return err
}

// PutAll writes entries, all or none; at most 1000.
func (m Mapping[T]) PutAll(entries ...Entry[T]) error {
	_, err := m.put(false, entries...)
	return err
}

// Claim writes an entry unless there is one, and reports whether it did. Of many who claim an id, one succeeds, once.
func (m Mapping[T]) Claim(id string, value T) (bool, error) { return m.put(true, Entry[T]{id, value}) }

func (m Mapping[T]) put(ifAbsent bool, entries ...Entry[T]) (bool, error) {
	r := abi.MappingPut{IfAbsent: ifAbsent, Entries: []abi.MappingEntry{}}
	for _, e := range entries {
		value, err := json.Marshal(e.Value)
		if err != nil {
			return false, err
		}
		r.Entries = append(r.Entries, abi.MappingEntry{Set: m.set, SourceID: e.ID, Value: value})
	}
	a, err := wire.MappingPut(m.host, r)
	return a.Stored, err
}

// Delete removes an entry; removing nothing is fine.
func (m Mapping[T]) Delete(id string) error {
	_, err := wire.MappingDelete(m.host, abi.MappingDelete{Set: m.set, SourceID: id})
	return err
}

// All walks the entries in byte order of their ids.
func (m Mapping[T]) All() iter.Seq2[Entry[T], error] {
	return frigg.Each(func(after string) (frigg.Page[Entry[T]], error) {
		var page frigg.Page[Entry[T]]
		a, err := wire.MappingList(m.host, abi.MappingList{Set: m.set, After: after})
		if err != nil {
			return page, err
		}
		for _, e := range a.Entries {
			entry := Entry[T]{ID: e.SourceID}
			if err := wire.Decode(e.Value, &entry.Value, "the mapping of "+e.SourceID); err != nil {
				return page, err
			}
			page.Items = append(page.Items, entry)
			if a.More {
				page.Next = e.SourceID
			}
		}
		return page, nil
	})
}

// Links remember which record here is which record there, and answer from either side. Both directions of a link are
// written in one act.
type Links struct{ left, right Mapping[string] }

// LinksOf returns the links between the ids of two sides, such as "customers" and "issues": two mappings by these names.
func LinksOf(c *Call, left, right string) Links {
	return Links{Map[string](c, left), Map[string](c, right)}
}

// Join links two ids, over older links of either.
func (l Links) Join(left, right string) error {
	_, err := l.put(false, left, right)
	return err
}

// Claim links two ids unless either is linked already, and reports whether it did.
func (l Links) Claim(left, right string) (bool, error) { return l.put(true, left, right) }

func (l Links) put(ifAbsent bool, left, right string) (bool, error) {
	toRight, err := json.Marshal(right)
	if err != nil {
		return false, err
	}
	toLeft, err := json.Marshal(left)
	if err != nil {
		return false, err
	}
	a, err := wire.MappingPut(l.left.host, abi.MappingPut{IfAbsent: ifAbsent, Entries: []abi.MappingEntry{
		{Set: l.left.set, SourceID: left, Value: toRight},
		{Set: l.right.set, SourceID: right, Value: toLeft},
	}})
	return a.Stored, err
}

// Right returns what a left id is linked with.
func (l Links) Right(left string) (right string, found bool, err error) { return l.left.Get(left) }

// Left returns what a right id is linked with.
func (l Links) Left(right string) (left string, found bool, err error) { return l.right.Get(right) }

// Part forgets the link between two ids, one direction after the other; parting what is not linked is fine.
func (l Links) Part(left, right string) error {
	if err := l.left.Delete(left); err != nil {
		return err
	}
	return l.right.Delete(right)
}
