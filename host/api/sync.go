package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/syncs"
)

// Syncs is what this room needs of the room of syncs.
type Syncs interface {
	Process(ctx context.Context, a account.Actor, id syncs.ProcessID) (*syncs.Process, error)
	Processes(ctx context.Context, a account.Actor, f syncs.Filter) ([]*syncs.Process, error)
	Cancel(ctx context.Context, a account.Actor, id syncs.ProcessID) (*syncs.Process, error)
	Syncs(ctx context.Context, a account.Actor, only integration.ID) ([]syncs.Declared, error)
	Start(ctx context.Context, a account.Actor, id integration.ID, sync string, fresh bool) (*syncs.Process, error)
}

// Process is a record of long work, with the fields that Frigg's processes have.
type Process struct {
	ID              syncs.ProcessID   `json:"id" example:"prc_0198c0de-0000-7000-8000-000000000000"`
	UserID          account.Owner     `json:"userId" example:"usr_0198c0de-0000-7000-8000-000000000000"`
	IntegrationID   integration.ID    `json:"integrationId" example:"int_0198c0de-0000-7000-8000-000000000000"`
	Name            string            `json:"name" example:"contacts"`
	Type            string            `json:"type" doc:"SYNC for syncs; plugins choose others." example:"SYNC"`
	State           syncs.State       `json:"state" doc:"COMPLETED, ERROR and CANCELED are final; plugins may use others." example:"PROCESSING"`
	Context         ProcessContext    `json:"context"`
	Results         ProcessResults    `json:"results"`
	Message         string            `json:"message,omitempty" doc:"Why it failed." example:"the other system does not answer"`
	ParentProcessID syncs.ProcessID   `json:"parentProcessId,omitempty"`
	ChildProcesses  []syncs.ProcessID `json:"childProcesses" doc:"The newest hundred."`
	CreatedAt       time.Time         `json:"createdAt"`
	UpdatedAt       time.Time         `json:"updatedAt"`
	EndedAt         *time.Time        `json:"endedAt,omitempty"`
}

// ProcessContext says where a process is.
type ProcessContext struct {
	TotalRecords     int64       `json:"totalRecords" doc:"How many there are to do; 0 while that is not known." example:"500"`
	ProcessedRecords int64       `json:"processedRecords" example:"120"`
	Pagination       *Pagination `json:"pagination,omitempty"`
	Flags            Object      `json:"flags" doc:"What the plugin keeps here."`
}

// Pagination says where a sync is.
type Pagination struct {
	Phase   syncs.Phase `json:"phase" enum:"index,forward,backward" doc:"index reads the target to match by, forward reads the source and writes the target, backward the other way."`
	Initial bool        `json:"initial" doc:"All records are read, not only those that changed."`
	Pages   int         `json:"pages" doc:"Pages of the phase that were read." example:"2"`
	Open    int         `json:"openBatches" doc:"Batches that wait or are being written." example:"1"`
}

// ProcessResults are totals.
type ProcessResults struct {
	AggregateData AggregateData `json:"aggregateData"`
}

// AggregateData are totals of records.
type AggregateData struct {
	TotalSynced      int64          `json:"totalSynced" example:"118"`
	TotalFailed      int64          `json:"totalFailed" example:"1"`
	TotalSkipped     int64          `json:"totalSkipped" example:"1"`
	Duration         int64          `json:"duration" doc:"Milliseconds." example:"5120"`
	RecordsPerSecond float64        `json:"recordsPerSecond" example:"23.4"`
	Errors           []ProcessError `json:"errors" doc:"The last hundred, oldest first; only for a single process."`
}

// ProcessError is a record that failed.
type ProcessError struct {
	RecordID  string    `json:"recordId,omitempty" example:"con_17"`
	Message   string    `json:"message" example:"email: must be an address"`
	Timestamp time.Time `json:"timestamp"`
}

// ProcessList is a page of processes.
type ProcessList struct {
	Processes []Process `json:"processes"`
}

// Sync is a sync that an integration declares.
type Sync struct {
	IntegrationID integration.ID    `json:"integrationId" example:"int_0198c0de-0000-7000-8000-000000000000"`
	Name          string            `json:"name" example:"contacts"`
	Title         string            `json:"title" example:"Contacts"`
	Source        string            `json:"source" doc:"Role." example:"crm"`
	Target        string            `json:"target" doc:"Role." example:"shop"`
	Direction     abi.SyncDirection `json:"direction" enum:"one_way,two_way"`
	Match         []string          `json:"match" doc:"Fields by which records are matched."`
	EverySeconds  int64             `json:"everySeconds,omitempty" doc:"Runs again so long after a run."`
	LastProcess   *Process          `json:"lastProcess,omitempty"`
}

// SyncList are the syncs of a user.
type SyncList struct {
	Syncs []Sync `json:"syncs"`
}

type processesInput struct {
	signedIn
	IntegrationID string `query:"integrationId" doc:"Only of this integration."`
	Type          string `query:"type" doc:"Only of this type." example:"SYNC"`
	State         string `query:"state" doc:"Only in this state." example:"PROCESSING"`
	Parent        string `query:"parentProcessId" doc:"Only parts of this process."`
	Before        string `query:"before" doc:"Only processes older than the one with this id."`
	Limit         int    `query:"limit" doc:"At most so many, 1 to 200." default:"50"`
}

type processInput struct {
	signedIn
	ID syncs.ProcessID `path:"id" doc:"Id of a process." example:"prc_0198c0de-0000-7000-8000-000000000000"`
}

type syncsInput struct {
	signedIn
	IntegrationID string `query:"integrationId" doc:"Only of this integration."`
}

type startSyncInput struct {
	signedIn
	ID    integration.ID `path:"id" doc:"Id of an integration." example:"int_0198c0de-0000-7000-8000-000000000000"`
	Name  string         `path:"name" doc:"Name of a sync." example:"contacts"`
	Fresh string         `query:"fresh" doc:"true begins anew after a run that failed, instead of going on with it."`
}

func (a *API) syncs() {
	operation(a, huma.Operation{
		OperationID: "listProcesses", Method: http.MethodGet, Path: "/api/v2/processes", Tags: []string{tagSyncs},
		Summary: "List processes", Description: "The user's processes, newest first. *Own addition.*",
	}, a.listProcesses)
	operation(a, huma.Operation{
		OperationID: "getProcess", Method: http.MethodGet, Path: "/api/v2/processes/{id}", Tags: []string{tagSyncs},
		Summary: "Get a process", Description: "With its last errors. *Own addition.*",
	}, a.getProcess)
	operation(a, huma.Operation{
		OperationID: "cancelProcess", Method: http.MethodPost, Path: "/api/v2/processes/{id}/cancel", Tags: []string{tagSyncs},
		Summary: "Cancel a process", Description: "A sync reads and writes nothing more; what is being written is finished. One that has ended stays as it is. *Own addition.*",
	}, a.cancelProcess)
	operation(a, huma.Operation{
		OperationID: "listSyncs", Method: http.MethodGet, Path: "/api/v2/syncs", Tags: []string{tagSyncs},
		Summary: "List syncs", Description: "What the user's integrations keep in step, each with its newest process. *Own addition.*",
	}, a.listSyncs)
	operation(a, huma.Operation{
		OperationID: "startSync", Method: http.MethodPost, Path: "/api/v2/integrations/{id}/syncs/{name}", Tags: []string{tagSyncs},
		Summary: "Start a sync", Description: "Answers its process. One that runs is answered instead, and one that failed goes on where it was. 409 while the integration cannot work. *Own addition.*",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusConflict},
	}, a.startSync)
}

func (a *API) listProcesses(ctx context.Context, in *processesInput) (ProcessList, error) {
	if in.Limit == 0 {
		in.Limit = 50
	}
	found, err := a.Syncs.Processes(ctx, in.actor, syncs.Filter{
		Integration: integration.ID(in.IntegrationID), Type: in.Type, State: syncs.State(in.State), Parent: syncs.ProcessID(in.Parent),
		Before: syncs.ProcessID(in.Before), Limit: in.Limit,
	})
	list := ProcessList{Processes: []Process{}}
	for _, p := range found {
		list.Processes = append(list.Processes, a.process(p))
	}
	return list, err
}

func (a *API) getProcess(ctx context.Context, in *processInput) (Process, error) {
	return a.oneProcess(a.Syncs.Process(ctx, in.actor, in.ID))
}

func (a *API) cancelProcess(ctx context.Context, in *processInput) (Process, error) {
	return a.oneProcess(a.Syncs.Cancel(ctx, in.actor, in.ID))
}

func (a *API) startSync(ctx context.Context, in *startSyncInput) (Process, error) {
	return a.oneProcess(a.Syncs.Start(ctx, in.actor, in.ID, in.Name, in.Fresh == "true"))
}

func (a *API) oneProcess(p *syncs.Process, err error) (Process, error) {
	if err != nil {
		return Process{}, err
	}
	return a.process(p), nil
}

func (a *API) process(p *syncs.Process) Process {
	now := a.now()
	out := Process{
		ID: p.ID, UserID: p.Owner, IntegrationID: p.Integration, Name: p.Name, Type: p.Type, State: p.State, Message: p.Message,
		Context:         ProcessContext{TotalRecords: p.Total, ProcessedRecords: p.Done(), Flags: Object(json.RawMessage(p.Context))},
		ParentProcessID: p.Parent, ChildProcesses: append([]syncs.ProcessID{}, p.Children...), CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
	out.Results.AggregateData = AggregateData{
		TotalSynced: p.Synced, TotalFailed: p.Failed, TotalSkipped: p.Skipped, Duration: p.Duration(now).Milliseconds(),
		RecordsPerSecond: p.Rate(now), Errors: []ProcessError{},
	}
	for _, f := range p.Errors {
		out.Results.AggregateData.Errors = append(out.Results.AggregateData.Errors, ProcessError{RecordID: f.ExternalID, Message: f.Message, Timestamp: f.At})
	}
	if s := p.Sync; s != nil {
		out.Context.Pagination = &Pagination{Phase: s.Phase, Initial: s.Initial, Pages: s.Pages, Open: s.Open}
	}
	if !p.EndedAt.IsZero() {
		out.EndedAt = &p.EndedAt
	}
	return out
}

func (a *API) listSyncs(ctx context.Context, in *syncsInput) (SyncList, error) {
	found, err := a.Syncs.Syncs(ctx, in.actor, integration.ID(in.IntegrationID))
	list := SyncList{Syncs: []Sync{}}
	for _, d := range found {
		s := Sync{
			IntegrationID: d.Integration, Name: d.Name, Title: d.Title, Source: d.Source, Target: d.Target, Direction: d.Direction,
			Match: append([]string{}, d.Match...), EverySeconds: d.EveryS,
		}
		if d.Last != nil {
			last := a.process(d.Last)
			s.LastProcess = &last
		}
		list.Syncs = append(list.Syncs, s)
	}
	return list, err
}
