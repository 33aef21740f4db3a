package demo

import (
	"time"
)

const (
	stateVersion = 1
	// maxRows bounds each table, because the whole state is one file that is written at each change.
	maxRows = 5000
)

// state is everything that survives a restart. Maps hold values, so what a reader took out never changes under it.
type state struct {
	Version       int                             `json:"version"`
	Clock         time.Time                       `json:"clock"`
	Account       account                         `json:"account"`
	Contacts      map[contactID]contact           `json:"contacts"`
	Deals         map[dealID]deal                 `json:"deals"`
	Notes         map[noteID]note                 `json:"notes"`
	Tasks         map[taskID]task                 `json:"tasks"`
	Subscriptions map[subscriptionID]subscription `json:"subscriptions"`
	Deliveries    []delivery                      `json:"deliveries"` // in the order in which they go out
	Grants        map[grantID]grant               `json:"grants"`
	Tokens        map[string]accessToken          `json:"tokens"`  // by hash
	Answers       map[string]pastAnswer           `json:"answers"` // by hash of client, route and Idempotency-Key
}

func (s *state) makeMaps() {
	makeMap(&s.Contacts)
	makeMap(&s.Deals)
	makeMap(&s.Notes)
	makeMap(&s.Tasks)
	makeMap(&s.Subscriptions)
	makeMap(&s.Grants)
	makeMap(&s.Tokens)
	makeMap(&s.Answers)
}

func makeMap[K comparable, V any](m *map[K]V) {
	if *m == nil {
		*m = map[K]V{}
	}
}

// act is one change under way: the state, who changes it, and what the change needs from outside.
type act struct {
	*state
	*ids
	now   time.Time
	actor string
	woken []subscriptionID
}

// tick returns a time later than every one before it. Lists are ordered by it, so a reader who pages by time misses nothing,
// even when the clock stands still or goes back.
func (a *act) tick() time.Time {
	t := a.now.Truncate(time.Microsecond)
	if !t.After(a.Clock) {
		t = a.Clock.Add(time.Microsecond)
	}
	a.Clock = t
	return t
}

// put adds a row to a table that may be full.
func put[K comparable, V any](table map[K]V, id K, row V) error {
	if _, exists := table[id]; !exists && len(table) >= maxRows {
		return &problem{status: 422, Code: "quota_exceeded", Message: "This demo account is full; delete something first."}
	}
	table[id] = row
	return nil
}
