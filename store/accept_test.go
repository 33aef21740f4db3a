package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/sim"
	"github.com/frigg-host/frigg-host/store"
	"github.com/frigg-host/frigg-host/store/disk"
)

// A host whose machine loses its power at any moment has lost no webhook that it acknowledged, and has done none twice.
func TestPowerCut_EveryAcknowledgedWebhookIsWorkedOffOnce(t *testing.T) {
	t.Parallel()
	p := newOutages(t, scaled(t, "FRIGG_WEBHOOKS", 300), scaled(t, "FRIGG_KILLS", 5))
	for _, problem := range p.run() {
		t.Error(problem)
	}
	t.Logf("%d power cuts; %d of %d webhooks acknowledged, %d posted again, %d requests repeated at the vendor",
		p.cuts, p.ledger.Acknowledged(), p.webhooks, p.again.Load(), p.repeated.Load())
	if p.ledger.Acknowledged() < p.webhooks || p.again.Load() == 0 {
		t.Error("the power cuts met nothing")
	}
}

// The judgement of the test above sees hosts that are wrong on purpose.
func TestPowerCut_TheJudgementSeesWrongHosts(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(*outages){
		"acknowledges before the commit": func(p *outages) { p.acknowledgeFirst = true },
		"repeats with another key":       func(p *outages) { p.freshKeys = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				p := newOutages(t, 100, 5)
				wrong(p)
				if found := p.run(); len(found) > 0 {
					t.Logf("%d problems, such as %s", len(found), found[0])
					return
				}
			}
			t.Error("it goes unseen")
		})
	}
}

// run lets the machine lose its power as often as it shall, and judges what happened.
func (p *outages) run() []string {
	p.prepare()
	var posting sync.WaitGroup
	for range 32 {
		posting.Go(p.post)
	}
	for range p.cuts {
		p.live(true)
	}
	close(p.unlimited)
	p.live(false)
	posting.Wait()
	return p.ledger.Problems()
}

const outageLanes = 4

// outages is a queue whose machine loses power again and again, those who post to it, and a vendor that honours
// idempotency keys.
type outages struct {
	t              *testing.T
	webhooks, cuts int
	ledger         sim.Ledger
	lanes          []*integration.Integration

	acknowledgeFirst, freshKeys bool // to be wrong on purpose

	mu     sync.Mutex
	random *rand.Rand
	disk   *disk.Disk
	now    *life
	keys   map[string]bool

	next            atomic.Int64
	credit          chan struct{} // one for each webhook that may be posted in this life
	unlimited       chan struct{}
	again, repeated atomic.Int64
}

// life is the time between two power cuts.
type life struct {
	disk *disk.Disk
	db   *store.DB
	wake func()
	over chan struct{} // closed when the next one has begun
}

func newOutages(t *testing.T, webhooks, cuts int) *outages {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return &outages{
		t: t, webhooks: webhooks, cuts: cuts, random: rand.New(rand.NewPCG(seed, 0)), disk: newDisk(t), now: &life{over: make(chan struct{})},
		keys: map[string]bool{}, credit: make(chan struct{}, webhooks), unlimited: make(chan struct{}),
	}
}

func (p *outages) prepare() {
	p.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	db := openOn(p.t, p.disk)
	u := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: now}
	if err := db.CreateUser(p.t.Context(), nil, u); err != nil {
		p.t.Fatal(err)
	}
	for range outageLanes {
		in := &integration.Integration{
			ID: integration.NewID(), Owner: account.Owner(u.ID), Plugin: "p", Version: "1.0.0", Status: abi.StatusEnabled,
			Config: json.RawMessage(`{}`), Complete: true, CreatedAt: now, UpdatedAt: now,
		}
		first := job.New{ID: job.NewID(), Owner: in.Owner, Lane: string(in.ID), Kind: "nothing", CreatedAt: now}
		if err := db.CreateIntegration(p.t.Context(), in, first); err != nil {
			p.t.Fatal(err)
		}
		p.lanes = append(p.lanes, in)
	}
	db.Close()
}

// live opens the database and works until the power goes, or, in the last life, until all is done.
func (p *outages) live(cut bool) {
	d, db := p.disk, openOn(p.t, p.disk)
	if cut {
		d.OffAt(1+p.number(200+4*p.webhooks/p.cuts), p.number(2) == 0)
	}
	for range p.webhooks/p.cuts + 1 {
		select {
		case p.credit <- struct{}{}:
		default:
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	workers := &job.Workers{
		Store: db, Now: time.Now, Log: slog.New(slog.DiscardHandler), Alone: true,
		Handlers: map[string]job.Handler{"nothing": work(nothing), "webhook": work(func(ctx context.Context, j *job.Job) job.Outcome {
			return p.work(ctx, d, db, j)
		})},
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = workers.Run(ctx, 0) }()
	p.begin(&life{disk: d, db: db, wake: workers.Wake, over: make(chan struct{})})
	if cut {
		<-d.Dead()
	} else {
		p.idle(db)
	}
	stop()
	<-ended
	db.Close()
	if cut {
		var random *rand.Rand
		if p.number(2) == 0 {
			random = p.random
		}
		p.disk = d.Cut(d.Changes(), random)
		p.t.Cleanup(p.disk.Close)
	}
}

func (p *outages) begin(l *life) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.now.over)
	p.now = l
}

func (p *outages) life() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

type work func(ctx context.Context, j *job.Job) job.Outcome

func (w work) Work(ctx context.Context, j *job.Job) job.Outcome { return w(ctx, j) }

func nothing(context.Context, *job.Job) job.Outcome { return job.Outcome{} }

func (p *outages) number(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.random.IntN(n)
}

// idle waits until everything is posted and no job is left.
func (p *outages) idle(db *store.DB) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		left, err := db.CountJobs(p.t.Context())
		if err != nil {
			p.t.Error(err)
			return
		}
		if left[job.Queued]+left[job.Running] == 0 && p.ledger.Acknowledged() == p.webhooks {
			return
		}
	}
}

// post posts webhooks until there are no more, each until it is acknowledged.
func (p *outages) post() {
	for {
		select {
		case <-p.credit:
		case <-p.unlimited:
		}
		n := int(p.next.Add(1))
		if n > p.webhooks {
			return
		}
		name, in := fmt.Sprintf("webhook-%05d", n), p.lanes[n%outageLanes]
		for !p.deliver(name, in) {
			p.again.Add(1)
		}
	}
}

// deliver posts a webhook and reports whether it was acknowledged. An answer of a machine without power reaches nobody; there
// it waits for the next life.
func (p *outages) deliver(name string, in *integration.Integration) bool {
	l := p.life()
	if l.db == nil {
		<-l.over
		return false
	}
	p.ledger.Post(name, string(in.ID))
	now := time.Now().UTC().Truncate(time.Microsecond)
	id := job.NewID()
	e := &integration.Event{ID: integration.EventID("evt_" + string(id)), Integration: in.ID, Owner: in.Owner, Webhook: "w", Dedupe: name, ReceivedAt: now}
	then := job.New{ID: id, Owner: in.Owner, Lane: string(in.ID), Kind: "webhook", Payload: json.RawMessage(`"` + string(e.ID) + `"`), CreatedAt: now}
	if p.acknowledgeFirst {
		p.ledger.Acknowledge(name)
		_, _ = l.db.ReceiveEvent(context.Background(), e, then, 1<<20)
		l.wake()
		return true
	}
	_, err := l.db.ReceiveEvent(context.Background(), e, then, 1<<20)
	select {
	case <-l.disk.Dead():
		<-l.over
		return false
	default:
	}
	if err != nil && !fault.Is(err, fault.Unavailable) {
		p.t.Errorf("%s: %v", name, err)
	}
	if err == nil {
		p.ledger.Acknowledge(name)
		l.wake()
	}
	return err == nil
}

// work reads the event and asks the vendor, as far as there is power for both.
func (p *outages) work(ctx context.Context, d *disk.Disk, db *store.DB, j *job.Job) job.Outcome {
	var id integration.EventID
	if err := json.Unmarshal(j.Payload, &id); err != nil {
		return job.Outcome{Err: err}
	}
	e, err := db.EventByID(ctx, j.Owner, id)
	if err != nil {
		return job.Outcome{Err: err}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-d.Dead():
		return job.Outcome{Err: context.Canceled}
	default:
	}
	p.ledger.Begin(e.Dedupe)
	key := string(j.ID)
	if p.freshKeys {
		key += fmt.Sprint(j.Epoch)
	}
	if p.keys[key] {
		p.repeated.Add(1)
		return job.Outcome{}
	}
	p.keys[key] = true
	p.ledger.Effect(e.Dedupe)
	return job.Outcome{}
}
