package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Runs is what this room needs of the journal room.
type Runs interface {
	Runs(ctx context.Context, a account.Actor, f journal.Filter, limit int) ([]*journal.Run, error)
	Run(ctx context.Context, a account.Actor, id job.ID) (*journal.Run, error)
	Log(ctx context.Context, a account.Actor, id job.ID) (*journal.Log, error)
	Decide(ctx context.Context, a account.Actor, id job.ID, c journal.Choice, answer json.RawMessage, by string) error
	Export(ctx context.Context, a account.Actor, id job.ID, withPlugin bool) (*journal.File, error)
}

const (
	defaultRuns  = 50
	defaultSteps = 200
	// maxShown bounds what is shown of a request or an answer, in bytes.
	maxShown = 16 << 10
)

// Run is one event as a plugin worked it off. Its id is that of its job.
type Run struct {
	ID          job.ID        `json:"id" example:"job_0198c0de-0000-7000-8000-000000000000"`
	Integration string        `json:"integrationId" example:"int_0198c0de-0000-7000-8000-000000000000"`
	Event       string        `json:"event" example:"ON_WEBHOOK"`
	Plugin      string        `json:"plugin" example:"tidepool-welcome"`
	Version     string        `json:"version" example:"1.0.0"`
	Digest      plugin.Digest `json:"digest" doc:"Of the version with which the last try began."`
	State       job.State     `json:"state" enum:"queued,running,parked,done,halted,dead,canceled" doc:"parked runs need a person's decision."`
	Attempt     int           `json:"attempt" doc:"Tries so far." example:"1"`
	Checkpoints int           `json:"checkpoints,omitempty" doc:"How often the run has begun again with only a state on record."`
	Steps       int           `json:"steps" doc:"Host calls on record." example:"12"`
	Bytes       int           `json:"bytes" doc:"Of the record, packed." example:"2048"`
	Decide      journal.Path  `json:"decide,omitempty" doc:"The step of which nobody knows whether it happened, and of which a person decides." example:"3.1"`
	LastError   string        `json:"lastError,omitempty" doc:"Why the last try failed."`
	StartedAt   time.Time     `json:"startedAt"`
	UpdatedAt   time.Time     `json:"updatedAt"`
	RunAt       time.Time     `json:"runAt" doc:"When a queued run goes on."`
	EndedAt     *time.Time    `json:"endedAt,omitempty"`
}

// RunList is a page of runs.
type RunList struct {
	Runs []Run `json:"runs"`
}

// RunDetail is a run with what is on record of it.
type RunDetail struct {
	Run
	Tries []RunTry `json:"tries" doc:"Attempts from the start since the last checkpoint, oldest first."`
}

// RunTry is one attempt from the start.
type RunTry struct {
	Version   string        `json:"version" example:"1.0.0"`
	Digest    plugin.Digest `json:"digest"`
	StartedAt time.Time     `json:"startedAt"`
	Input     any           `json:"input" doc:"What the plugin was given."`
	Masked    []string      `json:"masked,omitempty" doc:"Fields whose values were replaced when the run was exported."`
	StepCount int           `json:"stepCount"`
	Steps     []RunStep     `json:"steps"`
	End       *RunEnd       `json:"end,omitempty" doc:"Missing while it goes on or waits."`
}

// RunStep is one host call. A request or an answer is JSON where it is JSON and not large, else a text, cut after 16 KiB.
type RunStep struct {
	Path       journal.Path      `json:"path" doc:"3 is the third of the plugin, 3.1 the first of the module that was called to answer it." example:"3"`
	Capability string            `json:"capability" example:"http"`
	Function   string            `json:"function,omitempty" example:"send"`
	Class      abi.Class         `json:"class,omitempty" example:"remote" doc:"What it does to the world: pure, read, local (an effect inside this host), remote."`
	AskedAt    time.Time         `json:"askedAt" doc:"On the plugin's clock."`
	AnsweredAt *time.Time        `json:"answeredAt,omitempty" doc:"Missing while nobody knows the answer."`
	DurationMS *int64            `json:"durationMs,omitempty"`
	Request    any               `json:"request,omitempty"`
	Answer     any               `json:"answer,omitempty"`
	Fault      *abi.Fault        `json:"fault,omitempty" doc:"The failure that the answer is."`
	Recalled   bool              `json:"recalled,omitempty" doc:"An earlier try had this effect, and it was not repeated."`
	Until      *time.Time        `json:"until,omitempty" doc:"Of a sleep."`
	Decision   *journal.Decision `json:"decision,omitempty" doc:"What a person said of an unknown outcome."`
}

// RunEnd is how a try ended.
type RunEnd struct {
	At          time.Time  `json:"at"`
	Fault       *abi.Fault `json:"fault,omitempty" doc:"Missing for success."`
	Output      any        `json:"output,omitempty" doc:"What the plugin answered, unless it is large."`
	Fuel        int64      `json:"fuel,omitempty" doc:"Units of computing."`
	MemoryBytes uint64     `json:"memoryBytes,omitempty"`
	DurationMS  int64      `json:"durationMs"`
}

// RunDecision says what became of a step of which nobody knows whether it happened.
type RunDecision struct {
	Choice journal.Choice `json:"choice" enum:"happened,resend,give_up" doc:"It happened; it did not, do it; or end the run."`
	Answer Object         `json:"answer,omitempty" doc:"For happened: the answer that the plugin gets, for example {\"status\": 201, \"text\": \"{}\"}."`
}

type runsInput struct {
	signedIn
	Integration string `query:"integration" doc:"Only runs of this integration."`
	Plugin      string `query:"plugin" doc:"Only runs of the plugin with this name."`
	State       string `query:"state" doc:"Only runs in these states, separated by commas." example:"parked,dead"`
	Before      string `query:"before" doc:"Only runs older than the one with this id."`
	Limit       int    `query:"limit" doc:"At most so many, 1 to 200." default:"50"`
}

type runInput struct {
	signedIn
	ID job.ID `path:"id" doc:"Id of a run." example:"job_0198c0de-0000-7000-8000-000000000000"`
}

type showInput struct {
	runInput
	Skip  int `query:"skip" doc:"Leave out so many steps of each try."`
	Limit int `query:"limit" doc:"At most so many steps of each try, 1 to 1000." default:"200"`
}

type decideInput struct {
	runInput
	Body RunDecision
}

type replayRunInput struct {
	runInput
	Body ReplayJob
}

type exportInput struct {
	runInput
	Mask       string `query:"mask" doc:"Fields whose values are replaced, by name or JSON pointer, separated by commas." example:"email,phone"`
	WithPlugin string `query:"with_plugin" doc:"true puts the plugin itself into the file." example:"true"`
}

func (a *API) runs() {
	tags := []string{tagRuns}
	operation(a, huma.Operation{
		OperationID: "listRuns", Method: http.MethodGet, Path: "/api/v2/runs", Tags: tags, Summary: "List runs",
		Description: "The user's runs, newest first. *Own addition.*",
	}, a.listRuns)
	operation(a, huma.Operation{
		OperationID: "getRun", Method: http.MethodGet, Path: "/api/v2/runs/{id}", Tags: tags, Summary: "Show a run",
		Description: "Every host call since the last checkpoint, as the plugin wrote it and as it was answered. *Own addition.*",
	}, a.showRun)
	operation(a, huma.Operation{
		OperationID: "decideRun", Method: http.MethodPost, Path: "/api/v2/runs/{id}/decision", Tags: tags, Summary: "Decide an unknown outcome",
		Description:   "Says what became of the step for which a parked run waits, and lets the run go on or end; 409 when it waits for nothing. *Own addition.*",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusConflict},
	}, func(ctx context.Context, in *decideInput) (Nothing, error) {
		return Nothing{}, a.Runs.Decide(ctx, in.actor, in.ID, in.Body.Choice, json.RawMessage(in.Body.Answer), string(in.actor.User))
	})
	operation(a, huma.Operation{
		OperationID: "replayRun", Method: http.MethodPost, Path: "/api/v2/runs/{id}/replay", Tags: tags, Summary: "Replay a run",
		Description:   "Queues a run that failed or was canceled again, from the start or from the step that failed; 409 in other states. *Own addition.*",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusConflict},
	}, func(ctx context.Context, in *replayRunInput) (Nothing, error) {
		return Nothing{}, a.Jobs.Replay(ctx, in.actor, in.ID, job.ReplayOptions{From: in.Body.From, Input: json.RawMessage(in.Body.Input)})
	})
	a.exports(tags)
}

// exports serves files: a plain handler, since it answers no JSON.
func (a *API) exports(tags []string) {
	s := shapeOf(reflect.TypeFor[exportInput]())
	op := huma.Operation{
		OperationID: "exportRun", Method: http.MethodGet, Path: "/api/v2/runs/{id}/export", Tags: tags, Summary: "Export a run",
		Description: "One file with all that is on record, for `frigg-host replay`. There is no secret in it. *Own addition.*",
		Security:    new(signedIn).security(),
		Responses: map[string]*huma.Response{
			"200":     {Description: "The file: JSON lines, packed with gzip.", Content: map[string]*huma.MediaType{mediaGzip: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}},
			"default": a.failure("Any other failure."),
		},
	}
	for status, text := range failures(s, true) {
		op.Responses[fmt.Sprint(status)] = a.failure(text)
	}
	a.describeRequest(&op, s)
	a.document.AddOperation(&op)
	a.echo.GET(routerPath(op.Path), func(c echo.Context) error {
		in := new(exportInput)
		if err := admit(a, c, in); err != nil {
			return err
		}
		if err := s.fill(c, 0, reflect.ValueOf(in).Elem()); err != nil {
			return err
		}
		return a.exportRun(c, in)
	})
}

const mediaGzip = "application/gzip"

func (a *API) exportRun(c echo.Context, in *exportInput) error {
	f, err := a.Runs.Export(c.Request().Context(), in.actor, in.ID, in.WithPlugin == "true")
	if err == nil && in.Mask != "" {
		err = f.Mask(strings.Split(in.Mask, ","))
	}
	var file bytes.Buffer
	if err == nil {
		err = f.Write(&file)
	}
	if err != nil {
		return err
	}
	c.Response().Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", string(in.ID)+".run"))
	return c.Blob(http.StatusOK, mediaGzip, file.Bytes())
}

func (a *API) listRuns(ctx context.Context, in *runsInput) (RunList, error) {
	states, err := jobStates(in.State)
	if err != nil {
		return RunList{}, err
	}
	if in.Limit == 0 {
		in.Limit = defaultRuns
	}
	f := journal.Filter{Integration: in.Integration, Plugin: in.Plugin, States: states, Before: job.ID(in.Before)}
	found, err := a.Runs.Runs(ctx, in.actor, f, in.Limit)
	list := RunList{Runs: []Run{}}
	for _, r := range found {
		list.Runs = append(list.Runs, NewRun(r))
	}
	return list, err
}

func (a *API) showRun(ctx context.Context, in *showInput) (RunDetail, error) {
	if in.Limit == 0 {
		in.Limit = defaultSteps
	}
	if in.Limit < 1 || in.Limit > 1000 || in.Skip < 0 {
		return RunDetail{}, refuse("limit must be between 1 and 1000, and skip not negative")
	}
	r, err := a.Runs.Run(ctx, in.actor, in.ID)
	if err != nil {
		return RunDetail{}, err
	}
	log, err := a.Runs.Log(ctx, in.actor, in.ID)
	if err != nil {
		return RunDetail{}, err
	}
	return NewRunDetail(r, log, in.Skip, in.Limit), nil
}

// NewRun shows a run.
func NewRun(r *journal.Run) Run {
	return Run{
		ID: r.ID, Integration: r.Integration, Event: r.Event, Plugin: r.Plugin, Version: r.Version, Digest: r.Digest, State: r.State,
		Attempt: r.Attempt, Checkpoints: r.Generation, Steps: r.Entries, Bytes: r.Bytes, Decide: r.Doubt, LastError: r.LastError,
		StartedAt: r.StartedAt, UpdatedAt: r.UpdatedAt, RunAt: r.RunAt, EndedAt: given(r.EndedAt),
	}
}

// NewRunDetail shows a run and its log, but for the first steps of each try, and at most so many.
func NewRunDetail(r *journal.Run, l *journal.Log, skip, most int) RunDetail {
	out := RunDetail{Run: NewRun(r), Tries: []RunTry{}}
	for _, t := range l.Tries {
		n := len(t.Entries)
		try := RunTry{
			Version: t.Start.Version, Digest: t.Start.Digest, StartedAt: t.Start.At, Input: shown(t.Start.Input), Masked: t.Start.Masked, StepCount: n,
			Steps: []RunStep{},
		}
		for _, e := range t.Entries[min(skip, n):min(skip+most, n)] {
			try.Steps = append(try.Steps, newRunStep(e))
		}
		if e := t.End; e != nil {
			try.End = &RunEnd{At: e.At, Fault: e.Fault, Output: shown(e.Output), Fuel: e.Fuel, MemoryBytes: e.Memory, DurationMS: e.Took.Milliseconds()}
		}
		out.Tries = append(out.Tries, try)
	}
	return out
}

func newRunStep(e *journal.Entry) RunStep {
	s := RunStep{
		Path: e.Path, Capability: e.Capability, Function: e.Function, Class: e.Class, AskedAt: e.Asked, AnsweredAt: given(e.At),
		Request: shown(e.Request), Answer: shown(e.Answer), Fault: e.Fault(), Recalled: e.Recalled, Until: given(e.Until), Decision: e.Decision,
	}
	if e.Known() {
		ms := e.At.Sub(e.Asked).Milliseconds()
		s.DurationMS = &ms
	}
	return s
}

// shown is JSON where b is JSON and not large, else as much of the text as is shown.
func shown(b []byte) any {
	switch {
	case len(b) == 0:
		return nil
	case len(b) <= maxShown && json.Valid(b):
		return json.RawMessage(b)
	case len(b) > maxShown:
		return strings.ToValidUTF8(string(b[:maxShown]), "\uFFFD") + "…"
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
