package sim_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/sim"
	"github.com/frigg-host/frigg-host/store/disk"
)

const dbFile = "frigg.db"

// world is what follows from a seed.
type world struct {
	seed    uint64
	wrong   wrong
	catalog catalog
	key     *secret.RootKey
	vendors *vendors
	ledger  sim.Ledger
	actors  []account.Actor
	flows   []*integration.Integration

	mu        sync.Mutex
	now_      *life
	ahead     time.Duration // of the host's clock
	trace     []string
	problems  []string
	crashes   int
	decisions int
}

// dice returns random numbers for one thing, whatever happened before: goroutines may take turns in any order.
func (w *world) dice(about ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintln(h, about...)
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// tenantCap is how many jobs of a user may run at once.
func (w *world) tenantCap() int { return 1 + w.dice("caps").IntN(2) }

// now is the host's clock. It jumps when the machine was asleep.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *world) jump(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, time.Now().Format("15:04:05.000000 ")+fmt.Sprintf(format, args...))
}

func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// life is the process that runs now, nil if none does.
func (w *world) life() *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now_
}

func (w *world) set(l *life) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now_ = l
}

// order is the body of a webhook.
type order struct {
	Event string
	Steps int
}

// steps are the names of what is to be done at the vendor; the first is that of the event.
func (o order) steps() []string {
	names := []string{o.Event}
	for n := 1; n < o.Steps; n++ {
		names = append(names, fmt.Sprintf("%s/%d", o.Event, n))
	}
	return names
}

const hookSecret = "webhook secret"

// post posts a webhook once, and reports whether it was acknowledged. The answer of a process that died meanwhile is none.
func (w *world) post(l *life, in *integration.Integration, o order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write(body)
	q := integration.Inbound{
		Method: http.MethodPost, URL: "https://host.example/hook", Body: body,
		Header: http.Header{"X-Signature": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}, "X-Delivery": {o.Event}, "X-Event": {"thing.made"}},
	}
	_, err = l.integrations.Receive(context.Background(), in.Plugin, in.ID, "in", q)
	if l.dead() {
		return errDown
	}
	return err
}

// template is a database with accounts at both vendors and integrations that work.
type template struct {
	files  map[string][]byte
	key    *secret.RootKey
	actors []account.Actor
	flows  []*integration.Integration
}

// prepare makes the template in a world without faults.
func prepare(t *testing.T) (made template) {
	synctest.Test(t, func(t *testing.T) {
		key, _ := secret.GenerateRootKey()
		w := &world{catalog: installed(), key: key}
		w.vendors = &vendors{w: w}
		d := disk.New(nil)
		defer d.Close()
		l, err := w.born(d)
		must(t, err)
		for range 2 {
			u := &account.User{ID: account.NewID(), Kind: account.Individual, CreatedAt: time.Now()}
			must(t, l.db.CreateUser(t.Context(), nil, u))
			a := account.Actor{User: u.ID, Owner: account.Owner(u.ID)}
			made.actors = append(made.actors, a)
			for _, vendor := range []string{keyed, plain} {
				account, err := l.connections.Authorize(t.Context(), a, vendor, map[string]any{"key": "k"})
				must(t, err)
				config := json.RawMessage(`{"type":"flow-` + vendor + `","in_webhook_secret":"` + hookSecret + `"}`)
				in, err := l.integrations.Create(t.Context(), a, []connection.EntityID{account.EntityID}, config)
				must(t, err)
				made.flows = append(made.flows, in)
			}
		}
		for {
			left, err := l.db.CountJobs(t.Context())
			must(t, err)
			if left[job.Queued]+left[job.Running] == 0 {
				break
			}
			time.Sleep(time.Second)
		}
		l.end()
		made.files, made.key = d.Files(), key
	})
	return made
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func replace(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

// play lets a world run to its end and returns it.
func (made *template) play(t *testing.T, seed uint64, how wrong) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = &world{seed: seed, wrong: how, catalog: plugins, key: made.key, actors: made.actors, flows: made.flows}
		w.vendors = &vendors{w: w, acted: map[string]bool{}, effect: map[string]bool{}, asked: map[string]int{}}
		w.run(made.files)
	})
	return w
}

var plugins = installed()

func (w *world) run(files map[string][]byte) {
	shared := make(map[string][]byte, len(files))
	for name, data := range files {
		shared[name] = data
	}
	d := disk.New(shared)
	posted := make(chan struct{})
	go w.clients(posted)
	go w.sleepless(posted)
	plan := w.dice("crashes")
	for range plan.IntN(4) {
		var ok bool
		if d, ok = w.crash(d, plan); !ok {
			return
		}
	}
	l, err := w.born(d)
	if err != nil {
		w.problem("the host does not start: %v", err)
		return
	}
	w.set(l)
	<-posted
	w.drain(l)
	w.judge(l)
	w.set(nil)
	l.end()
	d.Close()
}

// crash lets a process live until it dies at some change of its disk, or when it was idle for long, and returns what it
// leaves.
func (w *world) crash(d *disk.Disk, plan *rand.Rand) (*disk.Disk, bool) {
	d.OffAt(1+plan.IntN(250), plan.IntN(2) == 0)
	l, err := w.born(d)
	if err != nil && !(&life{disk: d}).dead() {
		w.problem("the host does not start: %v", err)
		return nil, false
	}
	if err == nil {
		w.set(l)
		timer := time.NewTimer(time.Duration(plan.IntN(300)) * time.Second)
		select {
		case <-d.Dead():
		case <-timer.C:
			d.Off()
		}
		timer.Stop()
		w.crashes++
		w.note("crash at change %d", d.Changes())
		w.set(nil)
		l.end()
	}
	time.Sleep(time.Duration(plan.IntN(60)) * time.Second)
	defer d.Close()
	switch n := d.Changes(); plan.IntN(3) {
	case 0:
		return d.Killed(n), true
	case 1:
		return d.Cut(n, nil), true
	default:
		return d.Cut(n, plan), true
	}
}

// clients post webhooks, each again until it is acknowledged, and some once more.
func (w *world) clients(posted chan<- struct{}) {
	defer close(posted)
	var all sync.WaitGroup
	d := w.dice("clients")
	for c := range 1 + d.IntN(3) {
		events := 1 + d.IntN(3)
		all.Go(func() {
			for n := range events {
				w.client(c, n)
			}
		})
	}
	all.Wait()
}

func (w *world) client(c, n int) {
	name := fmt.Sprintf("event-%d-%d", c, n)
	d := w.dice("client", name)
	in := w.flows[d.IntN(len(w.flows))]
	o := order{Event: name, Steps: 1 + d.IntN(2)}
	time.Sleep(time.Duration(d.IntN(20_000_000)) * time.Microsecond)
	w.ledger.Post(name, string(in.ID))
	for !w.deliver(in, o) {
		time.Sleep(time.Second + time.Duration(d.IntN(1_000_000))*time.Microsecond)
	}
	for i, step := range o.steps() {
		if i > 0 {
			w.ledger.Post(step, step)
		}
		w.ledger.Acknowledge(step)
	}
	w.note("%s is acknowledged", name)
	if d.IntN(4) == 0 {
		time.Sleep(time.Duration(d.IntN(30_000_000)) * time.Microsecond)
		w.deliver(in, o)
	}
}

func (w *world) deliver(in *integration.Integration, o order) bool {
	l := w.life()
	if l == nil || l.dead() {
		return false
	}
	err := w.post(l, in, o)
	if err != nil && !l.dead() && !fault.Is(err, fault.Unavailable) {
		w.problem("%s is refused: %v", o.Event, err)
	}
	return err == nil
}

// sleepless lets the machine fall asleep now and then: its clock jumps, and leases are over.
func (w *world) sleepless(posted <-chan struct{}) {
	d := w.dice("jumps")
	for range d.IntN(5) {
		timer := time.NewTimer(time.Duration(d.IntN(30_000_000)) * time.Microsecond)
		select {
		case <-posted:
			timer.Stop()
			return
		case <-timer.C:
			w.jump(time.Duration(20+d.IntN(600)) * time.Second)
			w.note("jump")
		}
	}
}

// drain waits until nothing is left to do, deciding as a person would.
func (w *world) drain(l *life) {
	ctx := context.Background()
	for end := time.Now().Add(24 * time.Hour); time.Now().Before(end); {
		time.Sleep(5*time.Second + 321*time.Microsecond) // when nothing else happens
		left, err := l.db.CountJobs(ctx)
		if err != nil {
			w.problem("jobs cannot be counted: %v", err)
			return
		}
		if left[job.Queued]+left[job.Running]+left[job.Parked] == 0 {
			return
		}
		for _, a := range w.actors {
			parked, err := l.db.FindJobs(ctx, a.Owner, job.Filter{States: []job.State{job.Parked}, Limit: 100})
			for _, j := range parked {
				if err == nil {
					err = l.decide(ctx, a, j)
				}
			}
			if err != nil {
				w.problem("nobody can decide: %v", err)
				return
			}
		}
	}
	w.problem("runs are stuck")
}

// judge says what must be true when all is over.
func (w *world) judge(l *life) {
	ctx := context.Background()
	for _, a := range w.actors {
		failed, err := l.db.FindJobs(ctx, a.Owner, job.Filter{States: []job.State{job.Halted, job.Dead}, Limit: 100})
		if err != nil {
			w.problem("jobs cannot be read: %v", err)
		}
		for _, j := range failed {
			w.problem("a job is %s: %s", j.State, j.LastError)
		}
	}
	for _, p := range w.ledger.Problems() {
		w.problem("%s", p)
	}
}
