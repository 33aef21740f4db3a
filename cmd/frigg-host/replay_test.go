package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/testdata/guests"
)

// webhook posts an order to an integration, as the vendor.
func (k *killing) webhook(order string) {
	k.t.Helper()
	mac := hmac.New(sha256.New, []byte("webhook secret"))
	mac.Write([]byte(order))
	r, err := http.NewRequest("POST", "http://"+k.listen+"/api/flow-integration/webhooks/"+k.flows[0]+"/typed", strings.NewReader(order))
	check(k.t, err)
	r.Header.Set("X-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	res, err := http.DefaultClient.Do(r)
	check(k.t, err)
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		k.t.Fatal(res.Status)
	}
}

// asks runs the program in a folder, wants an exit code, and returns what it prints.
func asks(t *testing.T, dir string, env []string, want int, args ...string) string {
	t.Helper()
	c := exec.Command(program, args...)
	c.Dir, c.Env = dir, env
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if code != want {
		t.Fatalf("%s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, &out, &errs)
	}
	return out.String() + errs.String()
}

// says wants a pattern in a text.
func says(t *testing.T, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("no %q in\n%s", pattern, text)
	}
}

// packed writes the flow guest, built with tags, as version 1.1.0 or as it is.
func packed(t *testing.T, dir, name, tags string, newVersion bool) string {
	t.Helper()
	manifest := guests.Manifest(t, "flow/manifest.yaml")
	if newVersion {
		manifest = bytes.Replace(manifest, []byte("version: 1.0.0"), []byte("version: 1.1.0"), 1)
	}
	module, err := plugin.Pack(guests.Module(t, "flow", tags), manifest)
	check(t, err)
	path := filepath.Join(dir, name)
	check(t, os.WriteFile(path, module, 0o600))
	return path
}

// A run that failed on a host is repeated bit for bit by the program alone, in an empty folder; a changed plugin is caught, there
// and by the rehearsal; and no vendor hears of any of it.
func TestReplay_OfAFailedRunInAnEmptyFolder(t *testing.T) {
	t.Parallel()
	k := newKilling(t, rand.New(rand.NewPCG(1, 1)), 1, 1)
	k.prepare()
	k.start()
	k.serves()
	for _, order := range []string{
		`{"steps":[{"do":"told"},{"do":"send","role":"key","method":"POST","url":"/effects","body":{"event":"1"}}]}`,
		`{"steps":[{"do":"send","role":"key","method":"POST","url":"/effects","body":{"event":"2"}}]}`,
		`{"steps":[{"do":"send","role":"key","url":"/read"}]}`,
		`{"steps":[{"do":"told"},{"do":"send","role":"key","method":"POST","url":"/effects","body":{"event":"3","email":"ada@example.com"}},{"do":"fail","method":"invalid","text":"no such luck"}]}`,
	} {
		k.webhook(order)
	}
	k.idle()
	var found struct{ Runs []struct{ ID string } }
	k.call("GET", "/api/v2/runs?state=halted", nil, &found)
	if len(found.Runs) != 1 {
		t.Fatalf("%+v\n%s", found, k.log)
	}
	run, data := found.Runs[0].ID, []string{"--data", filepath.Join(k.dir, "data"), "--plugins", filepath.Join(k.dir, "plugins")}
	host := func(want int, args ...string) string {
		t.Helper()
		return asks(t, k.dir, os.Environ(), want, append(args, data...)...)
	}
	says(t, host(0, "run", "list", "--plugin", "flow", "--state", "halted"), run+` +halted +flow 1.0.0 +\S+ +\d+ +1 .*no such luck`)
	says(t, host(0, "run", "show", run), `2 +remote +http.send key POST /effects +\d+ bytes after`)
	var shown struct {
		Tries []struct{ Steps []json.RawMessage }
	}
	check(t, json.Unmarshal([]byte(host(0, "run", "show", run, "--json")), &shown))
	if len(shown.Tries) != 1 || len(shown.Tries[0].Steps) < 2 {
		t.Errorf("%+v", shown)
	}
	alone := t.TempDir()
	cached := []string{"HOME=" + t.TempDir()} // of compiled code
	file, masked := filepath.Join(alone, "failed.run"), filepath.Join(alone, "masked.run")
	says(t, host(0, "run", "export", run, "-o", file), `1 tries, \d+ steps`)
	host(0, "run", "export", run, "-o", masked, "--with-plugin", "--mask", "email")
	says(t, host(1, "run", "export", "job_none", "-o", file), "no such run")
	says(t, host(1, "run", "decide", run, "resend"), "waits for no decision")

	// upgrades, beside the running host
	same, changed := packed(t, k.dir, "same.wasm", "", true), packed(t, k.dir, "changed.wasm", "frigg_changed", true)
	says(t, host(0, "plugin", "rehearse", same), `flow 1.1.0 does the same in (\d+) of \d+ runs`)
	caught := host(1, "plugin", "rehearse", changed)
	says(t, caught, `2 differ at step \d, for example job_`)
	says(t, caught, `on record: http.send key POST /effects`)
	says(t, caught, `now: +it asks for http.send key POST /effects .*x-version.*which is not on record`)
	requests := k.vendor.requests.Load()
	k.end(os.Interrupt)
	k.vendor.Close()

	// the program, the file and the plugin: nothing else is there
	module := packed(t, alone, "flow.wasm", "", false)
	for _, flag := range []string{"--interpreter=false", "--interpreter"} {
		text := asks(t, alone, nil, 0, "replay", "failed.run", "--plugin", "flow.wasm", flag)
		says(t, text, `the same: \d+ steps, then it fails \(invalid\): .*no such luck`)
	}
	var report replayed
	check(t, json.Unmarshal([]byte(asks(t, alone, cached, 0, "replay", "failed.run", "--plugin", module, "--json")), &report))
	if report.Verdict != "same" || !report.SamePlugin || !report.RecordEnded || report.Fuel == 0 {
		t.Errorf("%+v", report)
	}
	different := asks(t, alone, cached, 1, "replay", "failed.run", "--plugin", changed)
	says(t, different, `recorded with version 1.0.0, this is 1.1.0`)
	says(t, different, `different at step 2`)
	says(t, asks(t, alone, cached, 2, "replay", "failed.run"), `the plugin is not in the file: give flow 1.0.0 \(sha256:`)
	says(t, asks(t, alone, cached, 2, "replay", "flow.wasm", "--plugin", "flow.wasm"), `this is no file of a run`)
	says(t, asks(t, alone, cached, 0, "replay", "masked.run", "--step"), `masked, so the plugin may behave otherwise: email`)

	// a data folder for looking at
	looking := []string{"--data", filepath.Join(alone, "looking")}
	says(t, asks(t, alone, cached, 0, append([]string{"run", "import", "failed.run"}, looking...)...), "imported "+run)
	says(t, asks(t, alone, cached, 0, append([]string{"run", "show", run}, looking...)...), `2 +remote +http.send`)
	says(t, asks(t, alone, cached, 1, append([]string{"run", "replay", run}, looking...)...), `imported for looking at`)
	says(t, asks(t, alone, cached, 1, append([]string{"run", "import", "failed.run"}, looking...)...), `is here already`)
	if n := k.vendor.requests.Load(); n != requests {
		t.Errorf("the vendor was asked %d times more", n-requests)
	}
}
