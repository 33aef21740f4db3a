package sim_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/plugintest"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/store"
	"github.com/frigg-host/frigg-host/store/disk"
)

// life is one process of the host: the real rooms, from the opening of the database until a crash.
type life struct {
	w            *world
	disk         *disk.Disk
	db           *store.DB
	requester    *requester.Requester
	connections  *connection.Service
	integrations *integration.Service
	runs         *journal.Service
	workers      *job.Workers
	stop         context.CancelFunc
	ended        chan struct{}
	later        sync.WaitGroup // what a wrong host does after it has answered

	mu      sync.Mutex
	working map[string]*job.Job // by lane
}

// dead reports that the process is no more: what it still does, as this is a simulation, nobody sees.
func (l *life) dead() bool {
	select {
	case <-l.disk.Dead():
		return true
	default:
		return false
	}
}

// born opens the database of a disk and joins the rooms, as host.New does.
func (w *world) born(d *disk.Disk) (*life, error) {
	l := &life{w: w, disk: d, working: map[string]*job.Job{}, ended: make(chan struct{})}
	var err error
	if l.db, err = store.Open(context.Background(), store.Config{
		DSN: d.Path(dbFile), VFS: disk.Name, Caps: store.Caps{Tenant: w.tenantCap()},
	}); err != nil {
		return nil, err
	}
	s := w.wrong.store(l)
	log := slog.New(slog.DiscardHandler)
	vault := secret.NewVault(w.key, l.db, w.now)
	l.requester = requester.New(requester.Config{Wrap: func(http.RoundTripper) http.RoundTripper { return road{w.vendors, l} }, Now: w.now})
	l.connections = connection.New(connection.Config{
		Store: l.db, Vault: vault, Sender: l.requester, Catalog: w.catalog, Caller: guest{l}, Settings: w.catalog,
		RedirectURL: func(string) string { return "https://host.example/redirect" }, Now: w.now, Log: log,
	})
	wake := func() { l.workers.Wake() }
	l.runs = &journal.Service{Store: s, Now: w.now, Committed: wake, Unpark: l.db.Unpark}
	l.integrations = &integration.Service{
		Store: s, Runs: l.runs, Plugins: w.catalog, Guests: guest{l}, Connections: l.connections, Vault: vault, Now: w.now, Log: log, Wake: wake,
	}
	l.workers = &job.Workers{
		Store: s, Handlers: map[string]job.Handler{integration.JobDeliver: watched{l}}, Now: w.now, Log: log, Alone: true,
		Slots: slots, Lease: 15 * time.Second, Poll: 6300 * time.Millisecond, // so heartbeat and poll do not fall together
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() {
		defer close(l.ended)
		if err := l.workers.Run(ctx, 0); err != nil && !l.dead() {
			w.problem("the workers end: %v", err)
		}
	}()
	return l, nil
}

const slots = 3

// end is what remains to do for a process that is dead, so that nothing of it is left.
func (l *life) end() {
	l.stop()
	<-l.ended
	l.later.Wait()
	l.connections.Close()
	l.requester.Close()
	_ = l.db.Close()
}

// watched sees that lanes, tenants and slots keep their caps. A claim that was lost counts no more, though its guest may not know yet.
type watched struct{ l *life }

func (h watched) Work(ctx context.Context, j *job.Job) job.Outcome {
	h.l.apart(j.Lane)
	h.begin(ctx, j)
	defer h.finish(j)
	return h.l.integrations.Work(ctx, j)
}

// apart lets a moment pass that is another one for each lane: what happens at the same instant has no order, and so would not
// happen again in the same way.
func (l *life) apart(lane string) {
	for i, in := range l.w.flows {
		if string(in.ID) == lane {
			time.Sleep(time.Duration(1+i) * 37 * time.Microsecond)
		}
	}
}

func (h watched) begin(ctx context.Context, j *job.Job) {
	h.l.mu.Lock()
	before := h.l.working[j.Lane]
	h.l.working[j.Lane] = j
	all := slices.Collect(maps.Values(h.l.working))
	h.l.mu.Unlock()
	if before != nil && before.ID != j.ID && h.holds(ctx, before) {
		h.l.w.problem("two jobs of a lane run at once")
	}
	if len(all) > slots {
		h.l.w.problem("%d jobs run on %d slots", len(all), slots)
	}
	running := 1
	for _, other := range all {
		if other.Owner == j.Owner && other.ID != j.ID && h.holds(ctx, other) {
			running++
		}
	}
	if most := h.l.w.tenantCap(); running > most {
		h.l.w.problem("%d jobs of a tenant run at once, its cap is %d", running, most)
	}
}

// holds reports that a job which is worked here was not taken from its worker. Where the process is dead nothing is.
func (h watched) holds(ctx context.Context, j *job.Job) bool {
	now, err := h.l.db.JobByID(ctx, j.Owner, j.ID)
	return err == nil && now.Epoch == j.Epoch && now.State != job.Queued && !h.l.dead()
}

func (h watched) finish(j *job.Job) {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	if h.l.working[j.Lane] == j {
		delete(h.l.working, j.Lane)
	}
}

// guest is a deterministic guest in Go: it counts the events of its record, and does the steps that an event asks for.
type guest struct{ l *life }

func (g guest) Call(ctx context.Context, c plugin.Call) (json.RawMessage, error) {
	if c.Export != abi.ExportHandleEvent {
		return nil, plugin.ErrorOf("sim", c.Plugin.Name, abi.Fault{Kind: abi.FaultKindUnsupported, Message: "no handler"})
	}
	var in abi.EventInput
	if err := json.Unmarshal(c.Input, &in); err != nil {
		return nil, err
	}
	if in.Event != abi.EventOnWebhook {
		return json.RawMessage(`{}`), nil
	}
	var data abi.WebhookEvent
	var asked order
	if err := json.Unmarshal(in.Data, &data); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(data.Text), &asked); err != nil {
		return nil, err
	}
	if !g.l.dead() {
		g.l.w.ledger.Begin(asked.Event)
	}
	if g.l.w.wrong == resendsBlindly {
		c.Journal = nil
	}
	return json.RawMessage(`{}`), g.work(ctx, c, asked)
}

func (g guest) work(ctx context.Context, c plugin.Call, asked order) error {
	if err := pause(ctx, time.Duration(1+g.l.w.dice("think", asked.Event).IntN(20_000))*time.Microsecond); err != nil {
		return err
	}
	for _, step := range asked.steps() {
		body, err := json.Marshal(map[string]string{"step": step})
		if err != nil {
			return err
		}
		q := abi.HTTPRequest{Role: "crm", Method: http.MethodPost, URL: "/steps", JSON: body}
		if _, err := plugintest.Ask[abi.HTTPResponse](ctx, c, "http.send", q); err != nil {
			return err
		}
		if err := g.count(ctx, c, step); err != nil {
			return err
		}
	}
	return nil
}

// count counts a step in the storage of the record.
func (g guest) count(ctx context.Context, c plugin.Call, step string) error {
	_, err := plugintest.Ask[abi.Empty](ctx, c, "storage.put", abi.StoragePut{Key: step, Value: json.RawMessage(`1`)})
	return err
}

// decide does what a person does who can ask the vendor: it looks at what runs wait for, and says what is true.
func (l *life) decide(ctx context.Context, a account.Actor, j *job.Job) error {
	record, err := l.runs.Log(ctx, a, j.ID)
	if err != nil {
		return err
	}
	e := record.Doubt()
	if e == nil {
		return fault.New(fault.Internal, "sim", "%s is parked for no reason", j.ID)
	}
	var q abi.HTTPRequest
	var asked struct{ Step string }
	if err := json.Unmarshal(e.Request, &q); err != nil {
		return err
	}
	if err := json.Unmarshal(q.JSON, &asked); err != nil {
		return err
	}
	l.w.decisions++
	if l.w.vendors.happened(asked.Step) {
		return l.runs.Decide(ctx, a, j.ID, journal.Happened, json.RawMessage(`{"status":201,"text":"{}"}`), "sim")
	}
	return l.runs.Decide(ctx, a, j.ID, journal.Resend, nil, "sim")
}
