//go:build !wasip1

package friggtest

import (
	"fmt"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

// FetchPage asks for a page of records, as the host does.
func (f *Integration) FetchPage(q abi.FetchPageInput) (abi.FetchPageOutput, error) {
	f.t.Helper()
	q.Integration = f.Record
	return run[abi.FetchPageOutput](&f.Host, abi.ExportFetchPage, q)
}

// WriteBatch hands records over to be written, as the host does: the same batch again is a further try.
func (f *Integration) WriteBatch(q abi.WriteBatchInput) (abi.WriteBatchOutput, error) {
	f.t.Helper()
	q.Integration = f.Record
	return run[abi.WriteBatchOutput](&f.Host, abi.ExportWriteBatch, q)
}

func (f *Integration) startSync(q abi.SyncStart) (abi.SyncStarted, error) {
	f.Syncs = append(f.Syncs, q.Sync)
	return abi.SyncStarted{ProcessID: fmt.Sprintf("prc_%d", len(f.Syncs))}, nil
}

func (f *Integration) process(id string) (*abi.Process, error) {
	for i := range f.Processes {
		if f.Processes[i].ID == id {
			return &f.Processes[i], nil
		}
	}
	return nil, frigg.NotFound("no such process")
}

func (f *Integration) createProcess(q abi.ProcessCreate) (abi.Process, error) {
	p := abi.Process{
		ID: fmt.Sprintf("prc_%d", len(f.Processes)+1), Name: q.Name, Type: q.Type, State: q.State, Context: q.Context, Total: q.Total, ParentID: q.ParentID,
	}
	if p.State == "" {
		p.State = "INITIALIZING"
	}
	if len(p.Context) == 0 {
		p.Context = []byte(`{}`)
	}
	f.Processes = append(f.Processes, p)
	return p, nil
}

func (f *Integration) getProcess(q abi.ProcessGet) (abi.Process, error) {
	p, err := f.process(q.ID)
	if err != nil {
		return abi.Process{}, err
	}
	return *p, nil
}

func (f *Integration) updateProcess(q abi.ProcessUpdate) (abi.Process, error) {
	p, err := f.process(q.ID)
	if err != nil {
		return abi.Process{}, err
	}
	if q.State != "" {
		p.State = q.State
	}
	if q.Total > 0 {
		p.Total = q.Total
	}
	if len(q.Context) > 0 {
		p.Context, err = merge(p.Context, q.Context)
	}
	return *p, err
}

func (f *Integration) addToProcess(q abi.ProcessAdd) (abi.Process, error) {
	p, err := f.process(q.ID)
	if err != nil {
		return abi.Process{}, err
	}
	p.Synced, p.Failed, p.Skipped = p.Synced+q.Synced, p.Failed+q.Failed, p.Skipped+q.Skipped
	return *p, nil
}
