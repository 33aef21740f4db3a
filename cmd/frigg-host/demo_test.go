package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/frigg-host/frigg-host/host/plugin"
)

// The demo leads through the whole road and ends well; a second start finds what the first has made.
func TestDemo_ShowsTheRoadAndFindsItAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{demoModule, demoIntegration} {
		raw := filepath.Join(dir, name+".raw")
		build := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", raw, "./"+name)
		build.Dir = filepath.Join("..", "..", "plugins", "examples")
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		module, err := os.ReadFile(raw)
		check(t, err)
		manifest, err := os.ReadFile(filepath.Join(build.Dir, name, "manifest.yaml"))
		check(t, err)
		packed, err := plugin.Pack(module, manifest)
		check(t, err)
		check(t, os.WriteFile(filepath.Join(dir, name+".wasm"), packed, 0o600))
	}
	host, vendor := freeAddress(t), freeAddress(t)
	for _, start := range []struct{ isolate, account string }{
		{"none", "connected by OAuth2 with PKCE"}, {"none", "connected at an earlier start"}, {"process", "connected at an earlier start"},
	} {
		demo := exec.Command(program, "demo", "--once", "--plugins", dir, "--data", filepath.Join(dir, "demo"), "--listen", host, "--vendor", vendor, "--isolate", start.isolate)
		out, err := demo.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, said := range []string{
			`1  a vendor +Tidepool CRM at http://` + vendor, `2  an account +.*` + start.account, `3  live rows +[0-9]+ contacts read through the sandbox`,
			`4  an integration +tidepool-welcome is ENABLED \(int_`, `5  an event +contact.created, worked off `, `the new contact has a welcome task now`,
			`curl -s .* http://` + host + `/api/integrations`, `stopped; start again and everything is still there`,
		} {
			if !regexp.MustCompile(said).Match(out) {
				t.Errorf("the demo does not say %q:\n%s", said, out)
			}
		}
	}
}

// freeAddress is an address of this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}
