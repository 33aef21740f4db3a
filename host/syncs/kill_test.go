package syncs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/syncs"
)

// childVariable tells this test binary to be a host on a folder, until it is killed.
const childVariable = "FRIGG_TEST_SYNC_HOST"

type child struct{ DataDir, PluginsDir string }

func runChild() {
	var c child
	err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c)
	var h *host.Host
	if err == nil {
		h, err = host.New(context.Background(), host.Config{
			DataDir: c.DataDir, PluginsDir: c.PluginsDir, Dev: true, PublicURL: "http://127.0.0.1",
			Accounts: account.Config{Cost: account.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
	}
	var listener net.Listener
	if err == nil {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err == nil {
		err = h.Run(context.Background(), listener)
	}
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(1)
}

// A host that is killed in the middle of writes, again and again, ends with every record once and with totals that add up.
func TestSync_EveryRecordOnceHoweverOftenTheHostIsKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]any{"page_size": 100, "parallel": 2})
	r.left.addMany(488)
	var kill atomic.Pointer[func()]
	var writes atomic.Int32
	r.right.hits = func(q *http.Request) {
		if q.Method != http.MethodPost || q.URL.Path != "/api/v1/contacts" {
			return
		}
		n := writes.Add(1)
		if n == 90 {
			r.left.crm.FailNext(1, http.StatusBadGateway) // a page
		}
		if f := kill.Load(); f != nil && n%83 == 40 {
			(*f)()
		}
	}
	first := make(chan struct{})
	stop := func() { close(first) }
	kill.Store(&stop)
	r.integrate()
	<-first
	kill.Store(nil)
	r.stop()
	kills := 0
	for range 4 {
		if r.killed(&kill) {
			kills++
		}
	}
	if kills < 3 {
		t.Errorf("killed %d times", kills)
	}
	kill.Store(nil)
	r.start()
	r.completed(r.ended(), syncs.Totals{Synced: 488 + seeded})
	if n := len(r.right.contacts()); n != 488+2*seeded {
		t.Errorf("%d contacts", n)
	}
	for email, times := range r.right.byEmail() {
		if times != 1 && times != 2 {
			t.Errorf("%s is there %d times", email, times)
		}
	}
}

// killed runs a host in a process of its own until a write of it arrives, and kills it there. It reports false if nothing was
// left to write.
func (r *rig) killed(kill *atomic.Pointer[func()]) bool {
	r.t.Helper()
	text, err := json.Marshal(child{r.config.DataDir, r.config.PluginsDir})
	must(r.t, err)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childVariable+"="+string(text))
	c.Stderr = r.log
	var wasKilled atomic.Bool
	now := func() {
		wasKilled.Store(true)
		_ = c.Process.Kill()
	}
	must(r.t, c.Start())
	kill.Store(&now)
	_ = c.Wait()
	return wasKilled.Load()
}
