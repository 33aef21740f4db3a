package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/frigg-host/frigg-host/store"
	"github.com/google/go-cmp/cmp"
)

func runEvent(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, test := range map[string]func(*testing.T, *store.DB){
		"EveryActTellsWhatItDid":        factsOfActs,
		"AnActThatIsUndoneTellsNothing": factsOfUndone,
		"ForeignFactsAreNotSeen":        factsForeign,
		"WhatIsToldOnceIsBounded":       factsNotify,
		"TheCursorNeverGoesBack":        factsCursor,
		"PruneKeepsWhatIsNotDispatched": factsPrune,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, open(t)) })
	}
}

// teller hands out what was told since it was last asked.
type teller struct {
	t    *testing.T
	db   *store.DB
	seen int64
}

func (n *teller) since() (names []event.Name, facts []*event.Fact) {
	n.t.Helper()
	facts, err := n.db.FactsAfter(n.t.Context(), ownerA, n.seen, 100)
	must(n.t, err)
	for _, f := range facts {
		names, n.seen = append(names, f.Name), f.Seq
		for _, leak := range []string{"v1.", "sealed", "whsec_"} {
			if strings.Contains(string(f.Data), leak) {
				n.t.Errorf("%s holds a secret: %s", f.Name, f.Data)
			}
		}
	}
	return names, facts
}

// factsOfActs has a row for every act that changes what the outside knows of.
func factsOfActs(t *testing.T, db *store.DB) {
	ctx := t.Context()
	tell := &teller{t: t, db: db}
	var in *integration.Integration
	status := func(s abi.Status) func() {
		return func() {
			in.Status = s
			must(t, db.SaveIntegration(ctx, in, nil, nil))
		}
	}
	settled := func(s job.Settlement) func() {
		return func() {
			id := enqueue(t, db, job.New{Owner: ownerA, Lane: "facts"})
			for _, j := range claim(t, db, 10) {
				if j.ID == id {
					settle(t, db, j, s)
				} else {
					settle(t, db, j, job.Settlement{State: job.Done})
				}
			}
		}
	}
	credential := func(f func(c *connection.Credential) (bool, error)) func() {
		return func() {
			_, c, err := db.Connection(ctx, ownerA, in.Members[0].Entity)
			must(t, err)
			changed, err := f(c)
			must(t, err)
			same(t, changed, true)
		}
	}
	for _, row := range []struct {
		name string
		act  func()
		want []event.Name
	}{
		{"create", func() { in = created(t, db, ownerA) }, []event.Name{event.ConnectionCreated, event.IntegrationCreated}},
		{"the same status", status(abi.StatusEnabled), nil},
		{"a pause", status(abi.StatusDisabled), []event.Name{event.IntegrationDisabled}},
		{"the end of a pause", status(abi.StatusEnabled), []event.Name{event.IntegrationEnabled}},
		{"a long task", status(abi.StatusProcessing), []event.Name{event.IntegrationProcessing}},
		{"missing configuration", status(abi.StatusNeedsConfig), []event.Name{event.IntegrationNeedsConfig}},
		{"a job that is done", settled(job.Settlement{State: job.Done}), nil},
		{"a job that is tried again", settled(job.Settlement{State: job.Queued, RunAt: noon.Add(time.Hour)}), nil},
		{"a dead job", settled(job.Settlement{State: job.Dead, Error: "away"}), []event.Name{event.JobDead}},
		{"a halted job", settled(job.Settlement{State: job.Halted}), []event.Name{event.JobHalted}},
		{"a parked job", settled(job.Settlement{State: job.Parked}), []event.Name{event.JobParked}},
		{"a settled status", settled(job.Settlement{State: job.Done, With: &integration.Settled{
			Owner: ownerA, Integration: "", Status: abi.StatusError, From: []abi.Status{abi.StatusNeedsConfig},
		}}), nil},
		{"a refused credential", credential(func(c *connection.Credential) (bool, error) { return db.InvalidateCredential(ctx, c, "", noon) }), []event.Name{event.ConnectionInvalid}},
		{"a good credential", credential(func(c *connection.Credential) (bool, error) { return db.RestoreCredential(ctx, c, noon) }), []event.Name{event.ConnectionRenewed}},
		{"an account authorised again", func() {
			_, was, err := db.Connection(ctx, ownerA, in.Members[0].Entity)
			must(t, err)
			e, err := db.EntityByID(ctx, ownerA, in.Members[0].Entity)
			must(t, err)
			c := *was
			c.ID = connection.NewCredentialID()
			e.Credential = c.ID
			_, err = db.CompleteAuthorization(ctx, &c, []*connection.Entity{e}, noon)
			must(t, err)
		}, []event.Name{event.ConnectionRenewed}},
		{"a webhook", func() {
			e := &integration.Event{ID: "evt_1", Integration: in.ID, Owner: ownerA, Webhook: "w", Dedupe: "d", ReceivedAt: noon}
			for range 2 { // the second is a redelivery
				_, err := db.ReceiveEvent(ctx, e, jobFor(in), 100)
				must(t, err)
			}
		}, []event.Name{event.WebhookReceived}},
		{"settling with a status", func() {
			for _, j := range claim(t, db, 10) {
				settle(t, db, j, job.Settlement{State: job.Done, With: &integration.Settled{
					Owner: ownerA, Integration: in.ID, Status: abi.StatusError, From: []abi.Status{abi.StatusNeedsConfig},
				}})
			}
		}, []event.Name{event.IntegrationFailed}},
		{"removal", func() {
			enqueue(t, db, job.New{Owner: ownerA, Lane: string(in.ID)})
			for _, j := range claim(t, db, 10) {
				settle(t, db, j, job.Settlement{State: job.Done, With: &integration.Settled{Owner: ownerA, Integration: in.ID, Remove: true}})
			}
		}, []event.Name{event.IntegrationRemoved}},
		{"disconnecting", func() {
			_, err := db.RemoveEntity(ctx, ownerA, in.Members[0].Entity, noon)
			must(t, err)
		}, []event.Name{event.ConnectionRemoved}},
		{"disconnecting all", func() {
			e, err := db.EntityByID(ctx, ownerA, connected(t, db, ownerA))
			must(t, err)
			_, err = db.RemoveCredential(ctx, ownerA, e.Credential, noon)
			must(t, err)
		}, []event.Name{event.ConnectionCreated, event.ConnectionRemoved}},
	} {
		news := db.NewFacts()
		row.act()
		names, facts := tell.since()
		if diff := cmp.Diff(row.want, names); diff != "" {
			t.Errorf("%s tells something else (-want +got):\n%s", row.name, diff)
		}
		for _, f := range facts {
			if f.Owner != ownerA || f.Subject == "" || f.At.IsZero() || !strings.HasPrefix(string(f.ID), "fact_") {
				t.Errorf("%s tells %+v", row.name, f)
			}
		}
		select {
		case <-news:
		default:
			if len(row.want) > 0 {
				t.Errorf("%s wakes nobody", row.name)
			}
		}
	}
}

func factsOfUndone(t *testing.T, db *store.DB) {
	ctx := t.Context()
	in := newIntegration(t, db, ownerA)
	before, err := db.FactsBehind(ctx, 0, 100)
	must(t, err)
	news := db.NewFacts()
	stranger := *in
	stranger.Members = []integration.Member{{Role: "crm", Entity: connected(t, db, ownerB)}}
	<-news // of that account
	news = db.NewFacts()
	if err := db.CreateIntegration(ctx, &stranger, jobFor(in)); !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	err = db.Together(ctx, func(ctx context.Context) error {
		must(t, db.CreateIntegration(ctx, in, jobFor(in)))
		return errors.New("no")
	})
	if err == nil {
		t.Fatal("it was done")
	}
	after, err := db.FactsBehind(ctx, 0, 100)
	must(t, err)
	if len(after) != len(before)+1 {
		t.Errorf("%d facts were told, want 1", len(after)-len(before))
	}
	select {
	case <-news:
		t.Error("somebody was woken")
	default:
	}
}

func factsForeign(t *testing.T, db *store.DB) {
	created(t, db, ownerA)
	facts, err := db.FactsAfter(t.Context(), ownerB, 0, 100)
	must(t, err)
	same(t, len(facts), 0)
}

func factsNotify(t *testing.T, db *store.DB) {
	ctx := t.Context()
	in := created(t, db, ownerA)
	tell := &teller{t: t, db: db}
	tell.since()
	say := func(once string, at time.Time) error {
		return db.Notify(ctx, event.New(ownerA, event.Notify("X"), string(in.ID), event.Notification{IntegrationID: string(in.ID)}, at), once, 3, at.Add(-time.Hour))
	}
	for _, once := range []string{"a", "a", "b", "c", "b"} {
		must(t, say(once, noon))
	}
	if err := say("d", noon); !fault.Is(err, fault.RateLimited) || fault.RetryAfterOf(err) == 0 {
		t.Errorf("the fourth within an hour: %v", err)
	}
	must(t, say("a", noon)) // was told
	must(t, say("d", noon.Add(61*time.Minute)))
	if names, _ := tell.since(); len(names) != 4 {
		t.Errorf("told %v", names)
	}
	foreign := event.New(ownerB, event.Notify("X"), string(in.ID), event.Notification{}, noon)
	if err := db.Notify(ctx, foreign, "x", 3, noon); !fault.Is(err, fault.NotFound) {
		t.Errorf("of a foreign record: %v", err)
	}
}

func factsCursor(t *testing.T, db *store.DB) {
	ctx := t.Context()
	created(t, db, ownerA)
	must(t, db.Dispatch(ctx, 100, nil))
	must(t, db.Dispatch(ctx, 50, nil)) // of a slower process
	at, err := db.Dispatched(ctx)
	must(t, err)
	same(t, at, int64(100))
}

func factsPrune(t *testing.T, db *store.DB) {
	ctx := t.Context()
	for range 3 {
		created(t, db, ownerA)
	}
	all, err := db.FactsBehind(ctx, 0, 100)
	must(t, err)
	must(t, db.Dispatch(ctx, all[1].Seq, nil))
	for _, row := range []struct {
		before time.Time
		want   int
	}{{noon, 0}, {noon.Add(time.Hour), 2}, {noon.Add(time.Hour), 0}} {
		n, err := db.PruneFacts(ctx, row.before, 100)
		must(t, err)
		same(t, n, row.want)
	}
	created(t, db, ownerA)
	left, err := db.FactsBehind(ctx, 0, 100)
	must(t, err)
	if !slices.IsSortedFunc(left, func(a, b *event.Fact) int { return int(a.Seq - b.Seq) }) || left[0].Seq != all[2].Seq {
		t.Errorf("what is left begins with %d", left[0].Seq)
	}
	e := &outbound.Endpoint{ID: "whe_1", Owner: ownerA, URL: "https://a.example", Events: []event.Pattern{"*"}, Secret: "s", SecretNo: 1, State: outbound.Enabled, CreatedAt: noon, UpdatedAt: noon}
	must(t, db.CreateEndpoint(ctx, e, 1))
	if e.From != left[len(left)-1].Seq {
		t.Errorf("a new endpoint gets facts behind %d, want %d", e.From, left[len(left)-1].Seq)
	}
	if err := db.CreateEndpoint(ctx, &outbound.Endpoint{ID: "whe_2", Owner: ownerA}, 1); !fault.Is(err, fault.Conflict) {
		t.Errorf("one too many: %v", fmt.Sprint(err))
	}
}
