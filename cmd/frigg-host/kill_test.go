package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
	"github.com/frigg-host/frigg-host/host/sim"
	"github.com/frigg-host/frigg-host/host/testdata/guests"
)

const (
	posters = 32
	lanes   = 4 // integrations that the webhooks go to
)

// scaled is how much of something a test does: usual, unless a variable says otherwise.
func scaled(t *testing.T, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	check(t, err)
	return n
}

// A host that is killed at any moment has lost nothing that it acknowledged, has done nothing twice, and has kept the order of
// each lane.
func TestKill_EveryAcknowledgedWebhookIsWorkedOffOnce(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FRIGG_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("FRIGG_TEST_SEED=%d", seed)
	k := newKilling(t, rand.New(rand.NewPCG(seed, 0)), scaled(t, "FRIGG_WEBHOOKS", 1500), scaled(t, "FRIGG_KILLS", 10))
	k.prepare()
	var posting sync.WaitGroup
	for i := range posters {
		own := rand.New(rand.NewPCG(seed, uint64(i+1)))
		posting.Go(func() { k.post(own) })
	}
	finished := make(chan struct{})
	go func() { posting.Wait(); close(finished) }()
	k.live(finished)
	k.settle()
	k.report()
}

// killing is a host that is killed again and again, its vendor, and those who post to it.
type killing struct {
	t          *testing.T
	random     *rand.Rand
	deliveries int
	leastKills int
	dir        string
	listen     string
	vendor     *recorder
	ledger     *sim.Ledger

	token string
	flows []string

	mu     sync.Mutex
	up     chan struct{} // closed while a host serves
	next   int
	credit chan struct{} // one for each delivery that may be posted in this life

	acks                 atomic.Int64
	kills, again, gaveUp atomic.Int64
	child                *exec.Cmd
	log                  *lines
}

func newKilling(t *testing.T, random *rand.Rand, deliveries, kills int) *killing {
	ledger := &sim.Ledger{}
	return &killing{
		t: t, random: random, deliveries: deliveries, leastKills: kills, dir: t.TempDir(), listen: freeAddress(t),
		vendor: newRecorder(t, ledger), ledger: ledger, up: make(chan struct{}), credit: make(chan struct{}, deliveries),
	}
}

// keyModule is an API module that has no code: all it does is data.
const keyModule = `{"abi":1,"kind":"module","name":"probe-key","version":"1.0.0","display":{"name":"Recorder"},
	"hosts":[{"host":"{{settings.base_url}}","reason":"The recorder."}],"settings":[{"name":"base_url","required":true}],
	"auth":{"kind":"api_key","form":{"json_schema":{"type":"object","required":["key"],"properties":{"key":{"type":"string","format":"password"}}}},
		"apply":[{"in":"header","name":"x-key","value":"{{form.key}}"}],"identify":{"request":{"url":"/me"},"external_id":"/id"},"test":{"request":{"url":"/me"}}},
	"api":{"base_url":"{{settings.base_url}}","idempotency":{"header":"Idempotency-Key"}},
	"hooks":[{"name":"probe","signature":{"header":"x-signature","prefix":"sha256="},"event":"header:x-event","event_id":"header:x-delivery"}]}`

// prepare makes a user with an account and integrations.
func (k *killing) prepare() {
	k.t.Helper()
	module, err := plugin.Pack(wasmtest.Module{}.Bytes(), []byte(keyModule))
	check(k.t, err)
	folder := filepath.Join(k.dir, "plugins")
	check(k.t, os.Mkdir(folder, 0o700))
	long := time.Now().Add(-time.Minute)
	for name, content := range map[string][]byte{"probe-key.wasm": module, "flow.wasm": guests.Plugin(k.t, "flow", "manifest.yaml", "")} {
		path := filepath.Join(folder, name)
		check(k.t, os.WriteFile(path, content, 0o600))
		check(k.t, os.Chtimes(path, long, long))
	}
	k.start()
	k.serves()
	var login struct{ Token string }
	k.call("POST", "/user/create", map[string]string{"username": "ada", "password": "correct horse"}, &login)
	k.token = login.Token
	var connected struct {
		Entity string `json:"entity_id"`
	}
	k.call("POST", "/api/authorize", map[string]any{"entityType": "probe-key", "data": map[string]string{"key": "the key of ada"}}, &connected)
	for range lanes {
		var made struct{ ID string }
		k.call("POST", "/api/integrations", map[string]any{
			"entities": []string{connected.Entity},
			"config":   map[string]string{"type": "flow", "typed_webhook_secret": "webhook secret"},
		}, &made)
		k.flows = append(k.flows, made.ID)
	}
	k.idle()
	k.end(os.Interrupt)
}

// start starts the program on the data folder.
func (k *killing) start() {
	k.t.Helper()
	k.log = newLines()
	k.child = exec.Command(program, "serve", "--dev", "--data", filepath.Join(k.dir, "data"), "--plugins", filepath.Join(k.dir, "plugins"), "--listen", k.listen)
	k.child.Env = append(os.Environ(), "FRIGG_PLUGIN_PROBE_KEY__BASE_URL="+k.vendor.URL)
	k.child.Stderr = k.log
	check(k.t, k.child.Start())
	child := k.child
	k.t.Cleanup(func() { _ = child.Process.Kill() })
}

// serves waits until it serves, and tells those who wait to post.
func (k *killing) serves() {
	k.t.Helper()
	if _, err := k.log.wait(address); err != nil {
		k.t.Fatal(err)
	}
	k.mu.Lock()
	close(k.up)
	k.mu.Unlock()
}

// end ends the program by a signal.
func (k *killing) end(signal os.Signal) {
	k.t.Helper()
	k.mu.Lock()
	select {
	case <-k.up:
		k.up = make(chan struct{})
	default: // it never came up
	}
	k.mu.Unlock()
	check(k.t, k.child.Process.Signal(signal))
	err := k.child.Wait()
	if signal == os.Interrupt && err != nil {
		k.t.Fatalf("it did not stop cleanly: %v\n%s", err, k.log)
	}
	if text := k.log.String(); strings.Contains(text, "panic") || strings.Contains(text, "level=ERROR") {
		k.t.Errorf("a host complains:\n%s", text)
	}
}

// live starts and kills the program until it was killed often enough and everything is posted. Each life may take a share of the
// deliveries, so that there is something to do in all of them.
func (k *killing) live(finished <-chan struct{}) {
	k.t.Helper()
	for life := 0; ; life++ {
		for range k.deliveries/k.leastKills + 1 {
			select {
			case k.credit <- struct{}{}:
			default:
			}
		}
		k.start()
		if life%5 == 4 { // while it starts
			wait(time.Duration(k.random.IntN(150))*time.Millisecond, nil)
		} else {
			k.serves()
			k.moment()
		}
		select {
		case <-finished:
			if k.kills.Load() >= int64(k.leastKills-1) {
				k.end(os.Kill)
				k.kills.Add(1)
				return
			}
		default:
		}
		k.end(os.Kill)
		k.kills.Add(1)
	}
}

// moment waits for one of: so many acknowledgements, so many effects, so much time.
func (k *killing) moment() {
	acks, effects := k.acks.Load(), k.vendor.requests.Load()
	n := 1 + k.random.Int64N(int64(k.deliveries/k.leastKills))
	switch k.random.IntN(3) {
	case 0:
		wait(2*time.Second, func() bool { return k.acks.Load()-acks >= n })
	case 1:
		wait(2*time.Second, func() bool { return k.vendor.requests.Load()-effects >= n })
	default:
		wait(time.Duration(k.random.IntN(400))*time.Millisecond, nil)
	}
}

// wait waits until something holds, but not longer than d.
func wait(d time.Duration, holds func() bool) {
	end := time.After(d)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for holds == nil || !holds() {
		select {
		case <-end:
			return
		case <-tick.C:
		}
	}
}

// post posts deliveries until there are no more. What gets no answer is posted again, as vendors do, or given up.
func (k *killing) post(random *rand.Rand) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for {
		<-k.credit
		k.mu.Lock()
		id := fmt.Sprintf("event-%05d", k.next)
		flow := k.flows[k.next%lanes]
		k.next++
		last := k.next > k.deliveries
		k.mu.Unlock()
		if last {
			k.credit <- struct{}{} // for the next poster to see the end
			return
		}
		for !k.deliver(client, flow, id) {
			if random.IntN(10) == 0 {
				k.gaveUp.Add(1)
				break
			}
			k.again.Add(1)
		}
	}
}

// deliver posts a delivery once a host serves, and reports whether it was acknowledged.
func (k *killing) deliver(client *http.Client, flow, id string) bool {
	k.mu.Lock()
	up := k.up
	k.mu.Unlock()
	<-up
	k.ledger.Post(id, flow)
	body := `{"steps":[{"do":"send","role":"key","method":"POST","url":"/effects","body":{"event":"` + id + `"}}]}`
	mac := hmac.New(sha256.New, []byte("webhook secret"))
	mac.Write([]byte(body))
	r, err := http.NewRequest("POST", "http://"+k.listen+"/api/flow-integration/webhooks/"+flow+"/typed", strings.NewReader(body))
	if err != nil {
		k.t.Error(err)
		return true
	}
	r.Header.Set("X-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("X-Delivery", id)
	res, err := client.Do(r)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	switch {
	case res.StatusCode/100 == 2: // the vendor is content, whatever becomes of the rest of the answer
		k.acks.Add(1)
		k.ledger.Acknowledge(id)
		return true
	case err == nil && res.StatusCode < 500:
		k.t.Errorf("%s: %s %s", id, res.Status, answer)
		return true
	}
	return false
}

// settle lets a last host finish what is left, and stops it as an operator does.
func (k *killing) settle() {
	k.t.Helper()
	k.start()
	k.serves()
	k.idle()
	var ended struct {
		Jobs []struct{ ID, State, LastError string }
	}
	k.call("GET", "/api/jobs?state=halted,dead", nil, &ended)
	if len(ended.Jobs) > 0 {
		k.t.Errorf("jobs that failed: %+v", ended.Jobs)
	}
	k.end(os.Interrupt)
}

// idle waits until no job is left.
func (k *killing) idle() {
	k.t.Helper()
	var left struct{ Jobs []json.RawMessage }
	wait(2*time.Minute, func() bool {
		k.call("GET", "/api/jobs?state=queued,running&limit=1", nil, &left)
		return len(left.Jobs) == 0
	})
	if len(left.Jobs) > 0 {
		k.t.Fatalf("jobs are left: %s\n%s", left.Jobs, k.log)
	}
}

// call calls the API of the host that serves.
func (k *killing) call(method, path string, body, out any) {
	k.t.Helper()
	var content bytes.Buffer
	if body != nil {
		check(k.t, json.NewEncoder(&content).Encode(body))
	}
	r, err := http.NewRequest(method, "http://"+k.listen+path, &content)
	check(k.t, err)
	r.Header.Set("Content-Type", "application/json")
	if k.token != "" {
		r.Header.Set("Authorization", "Bearer "+k.token)
	}
	res, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		_ = k.child.Process.Signal(syscall.SIGQUIT) // which makes it say where it is
		_ = k.child.Wait()
		k.t.Fatalf("%v\n%s", err, k.log)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	check(k.t, err)
	if res.StatusCode/100 != 2 {
		k.t.Fatalf("%s %s: %s %s\n%s", method, path, res.Status, answer, k.log)
	}
	check(k.t, json.Unmarshal(answer, out))
}

func (k *killing) report() {
	k.t.Helper()
	for _, p := range k.ledger.Problems() {
		k.t.Error(p)
	}
	acknowledged, done := k.ledger.Acknowledged(), k.vendor.effects()
	repeated := k.vendor.requests.Load() - int64(done)
	k.t.Logf("%d kills; %d of %d deliveries acknowledged, %d posted again, %d given up; %d effects, %d requests repeated after a kill",
		k.kills.Load(), acknowledged, k.deliveries, k.again.Load(), k.gaveUp.Load(), done, repeated)
	switch {
	case k.kills.Load() < int64(k.leastKills-1):
		k.t.Errorf("only %d kills", k.kills.Load())
	case acknowledged < k.deliveries*8/10:
		k.t.Errorf("only %d deliveries were acknowledged", acknowledged)
	case k.again.Load()+k.gaveUp.Load() == 0:
		k.t.Error("no kill met a delivery on its way")
	case repeated == 0:
		k.t.Error("no kill came between an effect and the end of its job")
	}
}

// recorder is a vendor that recognises a repeated request by its key and does it once.
type recorder struct {
	*httptest.Server
	requests atomic.Int64
	ledger   *sim.Ledger

	mu    sync.Mutex
	byKey map[string]string // the event of each key
}

func newRecorder(t *testing.T, ledger *sim.Ledger) *recorder {
	r := &recorder{ledger: ledger, byKey: map[string]string{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if q.Header.Get("X-Key") != "the key of ada" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if q.URL.Path == "/effects" {
			var effect struct{ Event string }
			if err := json.NewDecoder(q.Body).Decode(&effect); err != nil {
				return // the host died while it was sending
			}
			r.do(t, q.Header.Get("Idempotency-Key"), effect.Event)
		}
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) do(t *testing.T, key, event string) {
	r.requests.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, known := r.byKey[key]; key == "" || known && before != event {
		t.Errorf("the key %q of %s was that of %q before", key, event, before)
	}
	r.ledger.Begin(event)
	if r.byKey[key] == "" {
		r.ledger.Effect(event)
	}
	r.byKey[key] = event
}

// effects is how many requests were different ones.
func (r *recorder) effects() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byKey)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The judgement of the test above sees hosts that are wrong on purpose: models that die at the worst moment of every life.
func TestKill_TheJudgementSeesWrongHosts(t *testing.T) {
	t.Parallel()
	type host struct {
		acknowledgeFirst bool // before the commit
		settleFirst      bool // the job is done before its work
		freshKeys        bool // a repeated request has another key
		newestFirst      bool
		settlesForOthers bool // a worker that lost its claim gives up a job that another one has
	}
	run := func(h host) []string {
		l := &sim.Ledger{}
		keys := map[string]bool{}
		var stored []string
		for life := range 10 {
			for _, id := range []string{fmt.Sprintf("event-%d-a", life), fmt.Sprintf("event-%d-b", life)} {
				l.Post(id, "lane")
				if !h.acknowledgeFirst { // else it dies before the commit
					stored = append(stored, id)
				}
				l.Acknowledge(id)
			}
			if h.settleFirst {
				stored = nil // and it dies before the work
			}
			if h.newestFirst {
				slices.Reverse(stored)
			}
			if h.settlesForOthers {
				stored = stored[1:]
			}
			for _, id := range stored {
				for try := range 2 { // it dies between work and settlement, and tries again
					key := id
					if h.freshKeys {
						key = fmt.Sprint(id, try)
					}
					l.Begin(id)
					if !keys[key] {
						keys[key] = true
						l.Effect(id)
					}
				}
			}
			stored = nil
		}
		return l.Problems()
	}
	if found := run(host{}); len(found) > 0 {
		t.Errorf("a good host: %v", found)
	}
	for name, wrong := range map[string]host{
		"acknowledges before the commit": {acknowledgeFirst: true}, "settles before the work": {settleFirst: true},
		"repeats with another key": {freshKeys: true}, "works the newest first": {newestFirst: true},
		"settles what others have claimed": {settlesForOthers: true},
	} {
		if len(run(wrong)) < 10 {
			t.Errorf("a host that %s goes unseen", name)
		}
	}
}
