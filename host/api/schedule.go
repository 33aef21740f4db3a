package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/schedule"
)

// Schedules is what this room needs of the schedule room.
type Schedules interface {
	Schedules(ctx context.Context, a account.Actor, after schedule.ID, limit int) ([]*schedule.Schedule, error)
	Pause(ctx context.Context, a account.Actor, id schedule.ID) (*schedule.Schedule, error)
	Resume(ctx context.Context, a account.Actor, id schedule.ID) (*schedule.Schedule, error)
}

const defaultSchedules = 100

// Schedule is a recurring or single event of an integration.
type Schedule struct {
	ID           schedule.ID     `json:"id" example:"sch_0198c0de-0000-7000-8000-000000000000"`
	Integration  integration.ID  `json:"integrationId" example:"int_0198c0de-0000-7000-8000-000000000000"`
	Name         string          `json:"name" example:"nightly"`
	Event        string          `json:"event" doc:"The event that the integration gets." example:"NIGHTLY_SYNC"`
	FromManifest bool            `json:"fromManifest" doc:"Every integration of this type has it; otherwise the integration made it for itself."`
	Cron         string          `json:"cron,omitempty" example:"0 3 * * *"`
	EverySeconds int64           `json:"everySeconds,omitempty" example:"600"`
	At           *time.Time      `json:"at,omitempty" doc:"It comes once, then."`
	TimeZone     string          `json:"timeZone,omitempty" doc:"Of cron." example:"Europe/Berlin"`
	Overlap      abi.Overlap     `json:"overlap" enum:"skip,queue,allow" doc:"What becomes of a run that is due while an earlier one is not finished."`
	Missed       abi.MissedTicks `json:"missed" enum:"one,skip,all" doc:"What becomes of runs that were missed."`
	Paused       bool            `json:"paused"`
	NextAt       *time.Time      `json:"nextAt" doc:"When it is due next; null while it is paused or its integration does not work."`
	LastAt       *time.Time      `json:"lastAt" doc:"When it was due last."`
}

// ScheduleList is a page of schedules.
type ScheduleList struct {
	Schedules []Schedule `json:"schedules"`
}

type schedulesInput struct {
	signedIn
	After string `query:"after" doc:"Only schedules behind the one with this id."`
	Limit int    `query:"limit" doc:"At most so many, 1 to 200." default:"100"`
}

type scheduleInput struct {
	signedIn
	ID schedule.ID `path:"id" doc:"Id of a schedule." example:"sch_0198c0de-0000-7000-8000-000000000000"`
}

func (a *API) schedules() {
	tags := []string{tagSchedules}
	operation(a, huma.Operation{
		OperationID: "listSchedules", Method: http.MethodGet, Path: "/api/v2/schedules", Tags: tags, Summary: "List schedules",
		Description: "The schedules of the user's integrations, oldest first. *Own addition.*",
	}, a.listSchedules)
	operation(a, huma.Operation{
		OperationID: "pauseSchedule", Method: http.MethodPost, Path: "/api/v2/schedules/{id}/pause", Tags: tags, Summary: "Pause a schedule",
		Description: "It rests until it is resumed, also when the plugin is upgraded. *Own addition.*",
	}, func(ctx context.Context, in *scheduleInput) (Schedule, error) {
		return newSchedule(a.Schedules.Pause(ctx, in.actor, in.ID))
	})
	operation(a, huma.Operation{
		OperationID: "resumeSchedule", Method: http.MethodPost, Path: "/api/v2/schedules/{id}/resume", Tags: tags, Summary: "Resume a schedule",
		Description: "It goes on; what it missed comes or not as `missed` says. *Own addition.*",
	}, func(ctx context.Context, in *scheduleInput) (Schedule, error) {
		return newSchedule(a.Schedules.Resume(ctx, in.actor, in.ID))
	})
}

func (a *API) listSchedules(ctx context.Context, in *schedulesInput) (ScheduleList, error) {
	if in.Limit == 0 {
		in.Limit = defaultSchedules
	}
	found, err := a.Schedules.Schedules(ctx, in.actor, schedule.ID(in.After), in.Limit)
	list := ScheduleList{Schedules: []Schedule{}}
	for _, s := range found {
		one, _ := newSchedule(s, nil)
		list.Schedules = append(list.Schedules, one)
	}
	return list, err
}

func newSchedule(s *schedule.Schedule, err error) (Schedule, error) {
	if err != nil {
		return Schedule{}, err
	}
	out := Schedule{
		ID: s.ID, Integration: s.Integration, Name: s.Name, Event: s.Event, FromManifest: s.FromManifest, Cron: s.Rule.Cron,
		EverySeconds: s.Rule.EveryS, Overlap: s.Rule.Overlap, Missed: s.Rule.Missed, Paused: s.Paused,
		NextAt: given(s.NextAt), LastAt: given(s.LastAt),
	}
	if s.Rule.Cron != "" {
		out.TimeZone = s.Rule.TimeZone
	}
	if s.Rule.AtMS != 0 {
		out.At = given(time.UnixMilli(s.Rule.AtMS).UTC())
	}
	return out, nil
}

// given is nil for the zero time.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
