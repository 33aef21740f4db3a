//go:build linux && amd64

package lab

import (
	"context"
	"embed"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed peers/workerd
var workerdFiles embed.FS

var workerdPackage = npmPackage{files: workerdFiles, folder: "peers/workerd", name: "@cloudflare/workerd-linux-64", version: "1.20261117.1"}

var workerdRecipe = recipe{
	name: "workerd", version: workerdPackage.version, cost: "fetching, a few seconds",
	needs: npmTools,
	build: workerdPackage.install,
	check: func(_ context.Context, dir string) error { return workerdPackage.check(dir) },
}

// StartWorkerd runs a worker with the paths /hello, /json (POST) and /sub, which asks upstream, until t ends. One isolate
// serves all requests.
func StartWorkerd(t testing.TB, upstream string) *Server {
	t.Helper()
	installed := mustEnsure(t, workerdRecipe)
	dir, address := t.TempDir(), FreeURL(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := workerdPackage.unpack(dir, map[string]string{"PORT": u.Port(), "UPSTREAM": upstream}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(installed, "node_modules", workerdPackage.name, "bin/workerd"), "serve", "config.capnp")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	return StartServer(t, "workerd", cmd, address, "/hello")
}
