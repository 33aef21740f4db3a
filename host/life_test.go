package host_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/secret"
)

// It is not parallel: it counts the goroutines of the process.
func TestHost_StartAndStopLeaveNoGoroutine(t *testing.T) {
	for engine, tags := range map[string]string{guest.Native: "", guest.Extism: noBulk} {
		t.Run(engine, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			r := newRig(t, plugins(t, tags), func(r *rig) { r.config.Engine = engine })
			c := r.user("ada", "correct horse")
			id := c.keyFlow(nil)
			for range 2 {
				if status, answer := c.act(id, step{"do": "send", "role": "key", "url": "/echo"}); status != http.StatusOK {
					t.Errorf("%d %s", status, answer)
				}
				r.stop()
				r.start()
			}
			r.stop()
			if err := r.host.Close(); err != nil {
				t.Errorf("closing again: %v", err)
			}
			r.vendor.Close()
			goleak.VerifyNone(t, before)
		})
	}
}

func TestHost_StoppedBeforeItBeganIsACleanStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, err := host.New(context.Background(), host.Config{DataDir: filepath.Join(dir, "data"), PluginsDir: filepath.Join(dir, "plugins")})
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Run(ctx, listener); err != nil {
		t.Errorf("Run: %v", err)
	}
	must(t, h.Close())
}

// What runs when the host stops is let finish; what waits stays for the next start.
func TestHost_StopLetsWorkFinish(t *testing.T) {
	t.Parallel()
	r := newRig(t, plugins(t, ""), nil)
	c := r.user("ada", "correct horse")
	id := c.keyFlow(map[string]any{"typed_webhook_secret": "webhook secret"})
	o := &ordeal{rig: r, haystack: newHaystack(), ada: c, flow: id}
	arrived, release := r.vendor.hold()
	for _, delivery := range []string{"first", "second", "third"} {
		o.post(http.StatusOK, "typed", "webhook secret", delivery, step{"do": "send", "role": "key", "method": "POST", "url": "/effects", "body": delivery})
	}
	<-arrived
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	r.await("the host takes no more requests", func() bool {
		res, err := http.Get(r.url + "/health")
		if err == nil {
			res.Body.Close()
		}
		return err != nil
	})
	select {
	case <-stopped:
		t.Error("the host has stopped in the middle of work")
	default:
	}
	release()
	<-stopped
	if n := len(r.vendor.log("/effects")); n != 1 {
		t.Errorf("%d pieces of work began, want the one that ran", n)
	}
	r.start()
	o.settles(job.Done, 4) // with the creation
	if diff := cmp.Diff([]int{1, 1, 1}, r.vendor.effectCounts()); diff != "" {
		t.Errorf("effects: %s", diff)
	}
}

func TestHost_SecondOneOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, nil)
	before := r.remains()
	h, err := host.New(context.Background(), r.config)
	if h != nil || !fault.Is(err, fault.Conflict) {
		t.Fatalf("a second host: %v", err)
	}
	for _, part := range []string{"another process serves this", filepath.Join(r.config.DataDir, "host.lock"), "stop it first"} {
		if !strings.Contains(fault.PublicMessage(err), part) {
			t.Errorf("%q does not say %q", fault.PublicMessage(err), part)
		}
	}
	offline := r.config
	offline.Offline = true
	h, err = host.New(context.Background(), offline)
	must(t, err)
	must(t, h.Close())
	if diff := cmp.Diff(before, r.remains()); diff != "" {
		t.Errorf("left behind:\n%s", diff)
	}
	r.user("ada", "correct horse") // the first goes on
	r.stop()
	r.start()
}

func TestHost_RestartKeepsEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t, plugins(t, ""), nil)
	c := r.user("ada", "correct horse")
	id := c.integrate(map[string]any{"note": "kept", "passphrase": "kept too"}, c.connect("probe", nil), c.connect("probe-key", r.goodKey("key-of-ada")))
	if status, answer := c.act(id, step{"do": "tell", "text": "remember"}); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	o := &ordeal{rig: r, haystack: newHaystack(), ada: c, flow: id}
	o.settles(job.Done, 2)
	read := func() []string {
		var all []string
		for _, path := range []string{"/api/integrations", "/api/jobs", "/api/integrations/" + string(id)} {
			_, answer := c.do(http.MethodGet, path, nil)
			all = append(all, string(answer))
		}
		return all
	}
	before, rows := read(), counts(t, r.config.DataDir)
	r.stop()
	r.start()
	if diff := cmp.Diff(before, read()); diff != "" {
		t.Errorf("answers differ:\n%s", diff)
	}
	if diff := cmp.Diff(rows, counts(t, r.config.DataDir)); diff != "" {
		t.Errorf("rows differ:\n%s", diff)
	}
	status, answer := c.act(id, step{"do": "told"}, step{"do": "send", "role": "oauth", "url": "/echo"}, step{"do": "passphrase", "role": "key", "url": "/echo"})
	if status != http.StatusOK || !strings.Contains(answer, "remember") {
		t.Errorf("%d %s", status, answer)
	}
}

func TestHost_WithoutItsKeyItDoesNotStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, nil)
	r.stop()
	file := r.config.DataDir + ".key"
	right, err := os.ReadFile(file)
	must(t, err)
	key, err := secret.ParseRootKey(secret.NewText(string(right)))
	must(t, err)
	_, other := secret.GenerateRootKey()
	write := func(text string, mode os.FileMode) {
		must(t, os.WriteFile(file, []byte(text), mode))
		must(t, os.Chmod(file, mode))
	}
	for _, test := range []struct {
		name    string
		prepare func(c *host.Config)
		says    []string
	}{
		{"missing", func(*host.Config) { must(t, os.Remove(file)) }, []string{"sealed with key " + key.ID(), "no key was found", file, "nothing was changed"}},
		{"another in the file", func(*host.Config) { write(other.Reveal(), 0o600) }, []string{"sealed with key " + key.ID(), file}},
		{"another in the variable", func(c *host.Config) { write(string(right), 0o600); c.Key = other }, []string{"sealed with key " + key.ID(), "FRIGG_KEY"}},
		{"not a key", func(*host.Config) { write("letmein", 0o600) }, []string{file, "the root key has 5 bytes, it must have 32"}},
		{"not base64", func(*host.Config) { write("let me in!", 0o600) }, []string{file, "the root key is not base64"}},
		{"for everybody to read", func(*host.Config) { write(string(right), 0o644) }, []string{"other users may read or change the key file", "chmod 600 " + file}},
	} {
		c := r.config
		test.prepare(&c)
		before := counts(t, c.DataDir)
		h, err := host.New(context.Background(), c)
		if h != nil || err == nil {
			t.Fatalf("%s: the host starts", test.name)
		}
		for _, part := range test.says {
			if !strings.Contains(fault.PublicMessage(err), part) {
				t.Errorf("%s: %q does not say %q", test.name, fault.PublicMessage(err), part)
			}
		}
		if strings.Contains(err.Error(), other.Reveal()) || strings.Contains(err.Error(), "letmein") {
			t.Errorf("%s: the error holds the key", test.name)
		}
		if diff := cmp.Diff(before, counts(t, c.DataDir)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if _, err := os.Stat(file); test.name == "missing" && err == nil {
			t.Error("another key was made")
		}
	}
	write(string(right), 0o600)
	r.start() // and everything that the failures had opened is closed
}

func TestHost_SaysWhatIsWrongWithItsSurroundings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, c *host.Config)
		says    string
	}{
		"no folders":            {func(_ *testing.T, c *host.Config) { c.DataDir = "" }, "a data folder and a plugins folder must be given"},
		"data folder is a file": {func(t *testing.T, c *host.Config) { must(t, os.WriteFile(c.DataDir, nil, 0o600)) }, "data cannot be made: not a directory"},
		"plugins folder is a file": {
			func(t *testing.T, c *host.Config) { must(t, os.WriteFile(c.PluginsDir, nil, 0o600)) },
			"plugins cannot be made: not a directory",
		},
		"a negative number of workers": {func(_ *testing.T, c *host.Config) { c.Workers = -3 }, "-3 jobs cannot run at once"},
		"public URL without a scheme":  {func(_ *testing.T, c *host.Config) { c.PublicURL = "hooks.example.com" }, `the public URL "hooks.example.com" must be an address such as https://`},
		"public URL with a query":      {func(_ *testing.T, c *host.Config) { c.PublicURL = "https://example.com/?a=b" }, "the public URL"},
		"frontend URL that is a path":  {func(_ *testing.T, c *host.Config) { c.FrontendURL = "/app" }, `the frontend URL "/app" must be an address`},
		"unknown engine":               {func(_ *testing.T, c *host.Config) { c.Engine = "v8" }, `there is no engine "v8"; use native or extism`},
		"damaged database": {func(t *testing.T, c *host.Config) {
			must(t, os.MkdirAll(c.DataDir, 0o700))
			must(t, os.WriteFile(filepath.Join(c.DataDir, "frigg.db"), []byte(strings.Repeat("this is no database", 1000)), 0o600))
		}, "the database file is damaged; restore a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := host.Config{DataDir: filepath.Join(dir, "data"), PluginsDir: filepath.Join(dir, "plugins")}
			test.prepare(t, &c)
			h, err := host.New(context.Background(), c)
			if h != nil || !strings.Contains(fault.PublicMessage(err), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
}
