package syncs_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/syncs"
)

// What a guest may do with processes and links, on a host with two integrations.
func TestCapabilities_ServeOneRecordOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"match": []string{"email"}})
	r.right.add(contact{Name: "Ada", Email: "ada@example.org"})
	r.left.add(contact{Name: "Ada L.", Email: "ada@example.org"})
	r.connect()
	mine := r.record(r.id)
	r.integrate()
	other := r.record(r.id)
	processes, links := r.host.Syncs.Capabilities(mine)
	foreign, otherLinks := r.host.Syncs.Capabilities(other)
	ctx := plugin.WithHostCall(context.Background(), &plugin.HostCall{Key: "first"})
	p, err := processes.Create(ctx, abi.ProcessCreate{Name: "Import", Type: "IMPORT", Total: 10, Context: json.RawMessage(`{"page":1}`)})
	must(t, err)
	for range 3 { // a repeated host call
		again, err := processes.Create(ctx, abi.ProcessCreate{Name: "Import", Type: "IMPORT"})
		must(t, err)
		p, err = processes.Add(ctx, abi.ProcessAdd{ID: p.ID, Synced: 2, Failed: 1, Errors: []abi.ProcessError{{ExternalID: "x", Message: "no"}}})
		must(t, err)
		if again.ID != p.ID {
			t.Errorf("made %s and %s", p.ID, again.ID)
		}
	}
	child, err := processes.Create(context.Background(), abi.ProcessCreate{Name: "Part", Type: "IMPORT", ParentID: p.ID})
	must(t, err)
	p, err = processes.Update(context.Background(), abi.ProcessUpdate{ID: p.ID, State: "COMPLETED", Context: json.RawMessage(`{"page":null,"done":true}`)})
	must(t, err)
	want := abi.Process{ID: p.ID, Name: "Import", Type: "IMPORT", State: "COMPLETED", Context: json.RawMessage(`{"done":true}`), Total: 10, Synced: 2, Failed: 1}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
	whole, err := r.host.Syncs.Process(context.Background(), r.actor, syncs.ProcessID(p.ID))
	must(t, err)
	if len(whole.Errors) != 1 || len(whole.Children) != 1 || string(whole.Children[0]) != child.ID || whole.EndedAt.IsZero() {
		t.Errorf("%+v", whole)
	}
	sync := r.newestSync(mine.ID)
	bg := context.Background()
	for name, test := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"get of another record":        {second(foreign.Get(bg, abi.ProcessGet{ID: p.ID})), fault.NotFound},
		"add of another record":        {second(foreign.Add(bg, abi.ProcessAdd{ID: p.ID, Synced: 1})), fault.NotFound},
		"update of another record":     {second(foreign.Update(bg, abi.ProcessUpdate{ID: p.ID, State: "X"})), fault.NotFound},
		"a parent of another record":   {second(foreign.Create(bg, abi.ProcessCreate{Name: "n", Type: "X", ParentID: p.ID})), fault.NotFound},
		"what has ended":               {second(processes.Add(bg, abi.ProcessAdd{ID: p.ID, Synced: 1})), fault.Conflict},
		"the host's own":               {second(processes.Add(bg, abi.ProcessAdd{ID: string(sync.ID), Synced: 1})), fault.Forbidden},
		"the host's type":              {second(processes.Create(bg, abi.ProcessCreate{Name: "n", Type: "SYNC"})), fault.Invalid},
		"no name":                      {second(processes.Create(bg, abi.ProcessCreate{Type: "X"})), fault.Invalid},
		"a state in lower case":        {second(processes.Create(bg, abi.ProcessCreate{Name: "n", Type: "X", State: "x"})), fault.Invalid},
		"a context that is a list":     {second(processes.Create(bg, abi.ProcessCreate{Name: "n", Type: "X", Context: json.RawMessage(`[]`)})), fault.Invalid},
		"a negative addition":          {second(processes.Add(bg, abi.ProcessAdd{ID: child.ID, Synced: -1})), fault.Invalid},
		"an unknown sync":              {second(links.Start(bg, abi.SyncStart{Sync: "none"})), fault.NotFound},
		"a link without a kind":        {second(links.Associate(bg, abi.Association{Set: "s", From: "a", To: "b"})), fault.Invalid},
		"a long link":                  {second(links.Associate(bg, abi.Association{Set: "s", From: strings.Repeat("a", 513), To: "b", Kind: "k"})), fault.Invalid},
		"links of neither end":         {second(links.Associations(bg, abi.AssociationList{Set: "s"})), fault.Invalid},
		"links behind a made-up place": {second(links.Associations(bg, abi.AssociationList{Set: "s", From: "a", After: "?"})), fault.Invalid},
	} {
		if !fault.Is(test.err, test.kind) {
			t.Errorf("%s: %v, want %s", name, test.err, test.kind)
		}
	}
	left, right := r.left.find("ada@example.org"), r.right.find("ada@example.org")
	link, err := links.Lookup(bg, abi.SyncLookup{Sync: "contacts", Side: abi.SyncSideSource, ExternalID: left.ID})
	if err != nil || !link.Found || link.ExternalID != right.ID || link.Confirmed {
		t.Errorf("%+v, %v", link, err)
	}
	if link, err := otherLinks.Lookup(bg, abi.SyncLookup{Sync: "contacts", Side: abi.SyncSideSource, ExternalID: left.ID}); err == nil && link.Found && mine.ID == other.ID {
		t.Errorf("another record sees %+v", link)
	}
	r.id = mine.ID
	r.run() // reads back what was written
	link, err = links.Lookup(bg, abi.SyncLookup{Sync: "contacts", Side: abi.SyncSideTarget, ExternalID: right.ID})
	must(t, err)
	if !link.Found || link.ExternalID != left.ID {
		t.Errorf("%+v", link)
	}
	link, err = links.Lookup(bg, abi.SyncLookup{Sync: "contacts", Side: abi.SyncSideSource, ExternalID: left.ID})
	if err != nil || !link.Confirmed {
		t.Errorf("not confirmed: %+v, %v", link, err)
	}
	for _, to := range []string{"b", "c", "d"} {
		_, err := links.Associate(bg, abi.Association{Set: "s", From: "a", To: to, Kind: "k"})
		must(t, err)
	}
	page, err := links.Associations(bg, abi.AssociationList{Set: "s", From: "a", Limit: 2})
	must(t, err)
	rest, err := links.Associations(bg, abi.AssociationList{Set: "s", From: "a", After: page.Next})
	must(t, err)
	if len(page.Associations) != 2 || len(rest.Associations) != 1 || rest.Next != "" || rest.Associations[0].To != "d" {
		t.Errorf("%+v, %+v", page, rest)
	}
	if got, err := otherLinks.Associations(bg, abi.AssociationList{Set: "s", From: "a"}); err != nil || len(got.Associations) != 0 {
		t.Errorf("another record sees %+v, %v", got, err)
	}
}

// The content of records stands nowhere in the database in clear.
func TestSync_KeepsNoContentInClear(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"match": []string{"email"}})
	r.left.add(contact{Name: "Planted Name", Email: "planted@example.org"})
	for range 2 { // ambiguous: its content is kept until the next run
		r.right.add(contact{Name: "Somebody", Email: "planted@example.org"})
	}
	r.completed(r.connect(), syncs.Totals{Failed: 1, Skipped: seeded})
	r.stop()
	r.searchSyncTables("Planted", "planted@", "example.org")
}

func (r *rig) record(id integration.ID) *integration.Integration {
	r.t.Helper()
	in, err := r.host.Integrations.Integration(context.Background(), r.actor, id)
	must(r.t, err)
	return in
}

func (r *rig) newestSync(id integration.ID) *syncs.Process {
	r.t.Helper()
	found, err := r.host.Syncs.Processes(context.Background(), r.actor, syncs.Filter{Integration: id, Type: syncs.TypeSync, Limit: 1})
	must(r.t, err)
	if len(found) != 1 {
		r.t.Fatal("no sync has run")
	}
	return found[0]
}

func second[T any](_ T, err error) error { return err }

// searchSyncTables fails the test if a row of this room's tables holds one of the texts.
func (r *rig) searchSyncTables(texts ...string) {
	r.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(r.config.DataDir, "frigg.db")+"?mode=ro")
	must(r.t, err)
	defer db.Close()
	seen := 0
	for _, table := range []string{"processes", "process_errors", "sync_runs", "sync_pages", "sync_batches", "sync_states", "sync_records"} {
		rows, err := db.Query(`SELECT * FROM ` + table)
		must(r.t, err)
		columns, err := rows.Columns()
		must(r.t, err)
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			must(r.t, rows.Scan(values...))
			seen++
			for i := range values {
				for _, text := range texts {
					if strings.Contains(fmt.Sprint(*values[i].(*any)), text) {
						r.t.Errorf("%s.%s holds %q", table, columns[i], text)
					}
				}
			}
		}
		must(r.t, rows.Err())
		must(r.t, rows.Close())
	}
	if seen < seeded {
		r.t.Errorf("only %d rows were looked at", seen)
	}
}
