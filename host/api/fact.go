package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
)

// Facts is what this room needs of the event room.
type Facts interface {
	FactsAfter(ctx context.Context, a account.Actor, after int64, limit int) ([]*event.Fact, error)
}

// Fact is something that happened.
type Fact struct {
	Cursor    int64      `json:"cursor" doc:"Where to go on: give it as after." example:"42"`
	ID        event.ID   `json:"id" example:"fact_0198c0de-0000-7000-8000-000000000000"`
	Type      event.Name `json:"type" example:"integration.enabled"`
	Timestamp time.Time  `json:"timestamp"`
	Data      Object     `json:"data" doc:"What it is about."`
}

// FactList is a page of facts.
type FactList struct {
	Events []Fact `json:"events"`
}

type factsInput struct {
	signedIn
	After int `query:"after" doc:"Only events behind this cursor."`
	Limit int `query:"limit" doc:"At most so many, 1 to 200." default:"50"`
}

func (a *API) facts() {
	operation(a, huma.Operation{
		OperationID: "listEvents", Method: http.MethodGet, Path: "/api/v2/events", Tags: []string{tagEvents},
		Summary: "List what happened", Description: "In the order in which it was committed, oldest first; kept for 30 days. *Own addition.*",
	}, a.listFacts)
}

func (a *API) listFacts(ctx context.Context, in *factsInput) (FactList, error) {
	if in.Limit == 0 {
		in.Limit = 50
	}
	found, err := a.Facts.FactsAfter(ctx, in.actor, int64(in.After), in.Limit)
	list := FactList{Events: []Fact{}}
	for _, f := range found {
		list.Events = append(list.Events, Fact{f.Seq, f.ID, f.Name, f.At, Object(f.Data)})
	}
	return list, err
}
