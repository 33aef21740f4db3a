package integration

import (
	"context"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

// schedules serves the record's schedules.
type schedules run

func (c *schedules) Put(ctx context.Context, q abi.SchedulePut) (abi.Empty, error) {
	if !c.plugin.Manifest.EventDeclared(q.Event) {
		return abi.Empty{}, guestFault(fault.Invalid, "event %s is not declared in the manifest", q.Event)
	}
	return abi.Empty{}, c.s.Schedules.PutSchedule(ctx, c.in.Owner, c.in.ID, q)
}

func (c *schedules) Delete(ctx context.Context, q abi.ScheduleDelete) (abi.Empty, error) {
	return abi.Empty{}, c.s.Schedules.DeleteSchedule(ctx, c.in.Owner, c.in.ID, q.Name)
}

func (c *schedules) List(ctx context.Context, _ abi.Empty) (abi.ScheduleEntries, error) {
	found, err := c.s.Schedules.RecordSchedules(ctx, c.in.Owner, c.in.ID)
	return abi.ScheduleEntries{Schedules: found}, err
}
