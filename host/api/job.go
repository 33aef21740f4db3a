package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/job"
)

// Jobs is what this room needs of the job room.
type Jobs interface {
	Find(ctx context.Context, a account.Actor, f job.Filter) ([]*job.Job, error)
	Replay(ctx context.Context, a account.Actor, id job.ID, how job.ReplayOptions) error
	Cancel(ctx context.Context, a account.Actor, id job.ID) error
}

const defaultJobs = 50

// Job is a piece of durable work.
type Job struct {
	ID          job.ID     `json:"id" example:"job_0198c0de-0000-7000-8000-000000000000"`
	Kind        string     `json:"kind" example:"integration.deliver"`
	Lane        string     `json:"lane" doc:"Jobs of one lane run one after another; for events it is the id of the integration." example:"int_0198c0de-0000-7000-8000-000000000000"`
	State       job.State  `json:"state" enum:"queued,running,parked,done,halted,dead,canceled" doc:"parked jobs need a person's decision."`
	Priority    int        `json:"priority,omitempty" doc:"Within a lane higher ones go first, from -100 to 100."`
	Replays     int        `json:"replays,omitempty" doc:"How often it was replayed."`
	Attempt     int        `json:"attempt" doc:"Tries so far." example:"3"`
	MaxAttempts int        `json:"maxAttempts" example:"12"`
	RunAt       time.Time  `json:"runAt" doc:"When the next try is due."`
	LastError   string     `json:"lastError,omitempty" doc:"Why the last try failed." example:"the other system does not answer"`
	CreatedAt   time.Time  `json:"createdAt"`
	FinishedAt  *time.Time `json:"finishedAt,omitempty"`
}

// JobList is a page of jobs.
type JobList struct {
	Jobs []Job `json:"jobs"`
}

type jobsInput struct {
	signedIn
	State  string `query:"state" doc:"Only jobs in these states, separated by commas." example:"halted,dead"`
	Lane   string `query:"lane" doc:"Only jobs of this lane." example:"int_0198c0de-0000-7000-8000-000000000000"`
	Kind   string `query:"kind" doc:"Only jobs of this kind." example:"integration.deliver"`
	Before string `query:"before" doc:"Only jobs older than the one with this id."`
	Limit  int    `query:"limit" doc:"At most so many, 1 to 200." default:"50"`
}

type jobInput struct {
	signedIn
	ID job.ID `path:"id" doc:"Id of a job." example:"job_0198c0de-0000-7000-8000-000000000000"`
}

type replayInput struct {
	jobInput
	Body ReplayJob
}

// ReplayJob says how a job is replayed.
type ReplayJob struct {
	From  job.ReplayFrom `json:"from,omitempty" enum:"start,failed_step" doc:"Where it begins: start, as if it had never been tried (the default), or failed_step, so that what went well is not done again."`
	Input Object         `json:"input,omitempty" doc:"Takes the place of the event's data. Only from the start."`
}

func (a *API) jobs() {
	operation(a, huma.Operation{
		OperationID: "listJobs", Method: http.MethodGet, Path: "/api/jobs", Tags: []string{tagJobs},
		Summary: "List jobs", Description: "The user's jobs, newest first. *Own addition.*",
	}, a.listJobs)
	operation(a, huma.Operation{
		OperationID: "replayJob", Method: http.MethodPost, Path: "/api/jobs/{id}/replay", Tags: []string{tagJobs},
		Summary: "Replay a job", Description: "Queues a dead, halted or canceled job again with fresh attempts; 409 in other states. *Own addition.*",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusConflict},
	}, a.replayJob)
	operation(a, huma.Operation{
		OperationID: "cancelJob", Method: http.MethodPost, Path: "/api/jobs/{id}/cancel", Tags: []string{tagJobs},
		Summary: "Cancel a job", Description: "Ends a job that waits, and stops one that runs within about a second; 409 if it has ended. *Own addition.*",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusConflict},
	}, a.cancelJob)
}

func (a *API) listJobs(ctx context.Context, in *jobsInput) (JobList, error) {
	states, err := jobStates(in.State)
	if err != nil {
		return JobList{}, err
	}
	if in.Limit == 0 {
		in.Limit = defaultJobs
	}
	found, err := a.Jobs.Find(ctx, in.actor, job.Filter{States: states, Lane: in.Lane, Kind: in.Kind, Before: job.ID(in.Before), Limit: in.Limit})
	list := JobList{Jobs: []Job{}}
	for _, j := range found {
		list.Jobs = append(list.Jobs, newJob(j))
	}
	return list, err
}

// jobStates reads a list of states; empty is all.
func jobStates(text string) ([]job.State, error) {
	if text == "" {
		return nil, nil
	}
	var states []job.State
	for name := range strings.SplitSeq(text, ",") {
		if !slices.Contains(job.States, job.State(name)) {
			return nil, refuse("state must be of queued, running, parked, done, halted, dead, canceled, separated by commas")
		}
		states = append(states, job.State(name))
	}
	return states, nil
}

func newJob(j *job.Job) Job {
	out := Job{
		ID: j.ID, Kind: j.Kind, Lane: j.Lane, State: j.State, Priority: j.Priority, Replays: j.Replays, Attempt: j.Attempt, MaxAttempts: j.MaxAttempts, RunAt: j.RunAt,
		LastError: j.LastError, CreatedAt: j.CreatedAt,
	}
	if !j.FinishedAt.IsZero() {
		out.FinishedAt = &j.FinishedAt
	}
	return out
}

func (a *API) replayJob(ctx context.Context, in *replayInput) (Nothing, error) {
	return Nothing{}, a.Jobs.Replay(ctx, in.actor, in.ID, job.ReplayOptions{From: in.Body.From, Input: json.RawMessage(in.Body.Input)})
}

func (a *API) cancelJob(ctx context.Context, in *jobInput) (Nothing, error) {
	return Nothing{}, a.Jobs.Cancel(ctx, in.actor, in.ID)
}

// Nothing is the empty object.
type Nothing struct{}
