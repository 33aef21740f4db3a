package api

import (
	"context"
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
	Jobs(ctx context.Context, a account.Actor, states []job.State, before job.ID, limit int) ([]*job.Job, error)
	Replay(ctx context.Context, a account.Actor, id job.ID) error
}

const defaultJobs = 50

// Job is a piece of durable work.
type Job struct {
	ID          job.ID     `json:"id" example:"job_0198c0de-0000-7000-8000-000000000000"`
	Kind        string     `json:"kind" example:"integration.deliver"`
	Lane        string     `json:"lane" doc:"Jobs of one lane run one after another; for events it is the id of the integration." example:"int_0198c0de-0000-7000-8000-000000000000"`
	State       job.State  `json:"state" enum:"queued,running,parked,done,halted,dead,canceled" doc:"parked jobs need a person's decision."`
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
	Before string `query:"before" doc:"Only jobs older than the one with this id."`
	Limit  int    `query:"limit" doc:"At most so many, 1 to 200." default:"50"`
}

type jobInput struct {
	signedIn
	ID job.ID `path:"id" doc:"Id of a job." example:"job_0198c0de-0000-7000-8000-000000000000"`
}

func (a *API) jobs() {
	operation(a, huma.Operation{
		OperationID: "listJobs", Method: http.MethodGet, Path: "/api/jobs", Tags: []string{tagJobs},
		Summary: "List jobs", Description: "The user's jobs, newest first. *Own addition.*",
	}, a.listJobs)
	operation(a, huma.Operation{
		OperationID: "replayJob", Method: http.MethodPost, Path: "/api/jobs/{id}/replay", Tags: []string{tagJobs},
		Summary: "Replay a job", Description: "Queues a dead or halted job again with fresh attempts; 409 in other states. *Own addition.*",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusConflict},
	}, a.replayJob)
}

func (a *API) listJobs(ctx context.Context, in *jobsInput) (JobList, error) {
	states, err := jobStates(in.State)
	if err != nil {
		return JobList{}, err
	}
	if in.Limit == 0 {
		in.Limit = defaultJobs
	}
	found, err := a.Jobs.Jobs(ctx, in.actor, states, job.ID(in.Before), in.Limit)
	list := JobList{Jobs: []Job{}}
	for _, j := range found {
		list.Jobs = append(list.Jobs, newJob(j))
	}
	return list, err
}

// jobStates reads a list of states; empty is all.
func jobStates(text string) ([]job.State, error) {
	if text == "" {
		return job.States, nil
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
		ID: j.ID, Kind: j.Kind, Lane: j.Lane, State: j.State, Attempt: j.Attempt, MaxAttempts: j.MaxAttempts, RunAt: j.RunAt,
		LastError: j.LastError, CreatedAt: j.CreatedAt,
	}
	if !j.FinishedAt.IsZero() {
		out.FinishedAt = &j.FinishedAt
	}
	return out
}

func (a *API) replayJob(ctx context.Context, in *jobInput) (Nothing, error) {
	return Nothing{}, a.Jobs.Replay(ctx, in.actor, in.ID)
}

// Nothing is the empty object.
type Nothing struct{}
