//go:build linux || darwin

package lab

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	stripeModule  = "github.com/stripe/stripe-mock"
	stripeVersion = "0.203.0"
	stripeSum     = "h1:EzW7nb/fphqcAkgVRHAaC88OaAZo6SBWSl54cflDTio="
)

var stripeRecipe = recipe{
	name: "stripe-mock", version: stripeVersion, cost: "building, less than a minute",
	needs: func(context.Context) []tool { return []tool{goTool} },
	build: buildStripe,
	check: checkStripe,
}

func buildStripe(ctx context.Context, dir string) error {
	env := append([]string{"GOBIN=" + dir}, goEnv...)
	_, err := run(ctx, dir, env, "go", "install", stripeModule+"@v"+stripeVersion)
	return err
}

// checkStripe reads the module and its checksum out of the binary.
func checkStripe(_ context.Context, dir string) error {
	info, err := buildinfo.ReadFile(filepath.Join(dir, "stripe-mock"))
	if err != nil {
		return err
	}
	if m := info.Main; m.Path != stripeModule || m.Version != "v"+stripeVersion || m.Sum != stripeSum {
		return fmt.Errorf("want %s v%s %s, found %s %s %s", stripeModule, stripeVersion, stripeSum, m.Path, m.Version, m.Sum)
	}
	return nil
}

// Stripe is a running stripe-mock. It checks requests against Stripe's own OpenAPI document (keys, nested forms, unknown
// parameters, Stripe-Version) and answers with fixtures: it stores nothing (not even metadata comes back),
// has_more is always false, and the Idempotency-Key header is ignored.
type Stripe struct {
	URL      string // "http://127.0.0.1:PORT"
	HTTPSURL string // the same over TLS and HTTP/2, with a certificate signed by itself
	Key      string // a secret key that it accepts, as bearer or as basic user
}

// StartStripe runs stripe-mock until t ends.
func StartStripe(t testing.TB) *Stripe {
	t.Helper()
	dir := mustEnsure(t, stripeRecipe)
	plain, tls := fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	// Without -https-addr it would listen for https on every interface.
	cmd := exec.Command(filepath.Join(dir, "stripe-mock"), "-http-addr", plain, "-https-addr", tls, "-strict-version-check")
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = ownGroup()
	serve(t, "stripe-mock", cmd, "http://"+plain+"/")
	return &Stripe{URL: "http://" + plain, HTTPSURL: "https://" + tls, Key: "sk_test_123"}
}
