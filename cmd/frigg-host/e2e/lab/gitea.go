//go:build linux || darwin

package lab

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"
)

const (
	giteaModule  = "code.gitea.io/gitea"
	giteaVersion = "1.26.0"
	giteaSum     = "h1:fJP9dqLbzKrKWUVnCVTfVersZdVDuyJQLEDzCAOmKKA="
	giteaTags    = "sqlite sqlite_unlock_notify"
)

//go:embed app.ini
var giteaConfig string

var giteaTemplate = template.Must(template.New("app.ini").Parse(giteaConfig))

var giteaRecipe = recipe{
	name: "gitea", version: giteaVersion, cost: "building, about six minutes the first time",
	needs: giteaNeeds,
	build: buildGitea,
	check: checkGitea,
}

func giteaNeeds(ctx context.Context) []tool {
	compiler := "gcc"
	if out, err := run(ctx, "", nil, "go", "env", "CC"); err == nil {
		if words := strings.Fields(string(out)); len(words) > 0 {
			compiler = words[0]
		}
	}
	return []tool{goTool, {compiler, "cgo compiles SQLite with it"}, {"git", "Gitea runs it for every repository"}}
}

// buildGitea leaves two things in dir: the program, and in static what the program reads at run time.
func buildGitea(ctx context.Context, dir string) error {
	module, err := downloadModule(ctx, dir, giteaModule, "v"+giteaVersion, giteaSum)
	if err != nil {
		return err
	}
	source := filepath.Join(dir, "source") // the module cache is read-only, and a module with replacements must be main
	if err := os.CopyFS(source, os.DirFS(module)); err != nil {
		return err
	}
	env := append([]string{"CGO_ENABLED=1"}, goEnv...)
	flags := fmt.Sprintf("-s -w -X main.Version=%s -X 'main.Tags=%s'", giteaVersion, giteaTags)
	if _, err := run(ctx, source, env, "go", "build", "-mod=readonly", "-buildvcs=false", "-tags", giteaTags,
		"-ldflags", flags, "-o", filepath.Join(dir, "gitea"), "."); err != nil {
		return err
	}
	static := filepath.Join(dir, "static")
	if err := os.Mkdir(static, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"options", "public", "templates"} {
		if err := os.Rename(filepath.Join(source, name), filepath.Join(static, name)); err != nil {
			return err
		}
	}
	return os.RemoveAll(source)
}

func checkGitea(ctx context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "static", "templates")); err != nil {
		return err
	}
	out, err := run(ctx, dir, nil, filepath.Join(dir, "gitea"), "--version")
	if err != nil {
		return err
	}
	if !strings.Contains(string(out), " "+giteaVersion+" ") {
		return fmt.Errorf("want gitea %s, it says %q", giteaVersion, out)
	}
	return nil
}

// GiteaOptions configures a Gitea. The zero value is fine.
type GiteaOptions struct {
	AccessTokenTTL time.Duration // of OAuth2 access tokens, whole seconds, default one hour
}

// Gitea is a running Gitea with one administrator. A refresh token is good for one use; webhooks may go to loopback.
type Gitea struct {
	URL      string // "http://127.0.0.1:PORT"
	User     string // the administrator
	Password string
	PAT      string // a personal access token of the administrator, for everything

	dir     string // everything it writes
	program string
	account *account // whom it runs as; nil: as we do
}

// StartGitea runs a new, empty Gitea until t ends. Gitea refuses to run as root, so root runs it as nobody.
func StartGitea(t testing.TB, opts GiteaOptions) *Gitea {
	t.Helper()
	installed := mustEnsure(t, giteaRecipe)
	port := freePort(t)
	g := &Gitea{
		URL: fmt.Sprintf("http://127.0.0.1:%d", port), User: "lab", Password: "lab-password-1",
		program: filepath.Join(installed, "gitea"),
	}
	static, err := g.settle(t, installed)
	if err != nil {
		t.Fatalf("prepare gitea: %v", err)
	}
	if err := g.configure(port, static, opts); err != nil {
		t.Fatalf("configure gitea: %v", err)
	}
	g.once(t, "migrate")
	g.once(t, "admin", "user", "create", "--admin", "--username", g.User, "--password", g.Password,
		"--email", "lab@example.com", "--must-change-password=false")
	serve(t, "gitea", g.command("web"), g.URL+"/api/healthz")
	g.PAT = g.createPAT(t)
	return g
}

// settle makes the directory to work in and returns where the static files are. Another account than ours usually cannot
// reach the cache, so it gets the program and the static files linked into its own directory.
func (g *Gitea) settle(t testing.TB, installed string) (static string, err error) {
	if g.dir, err = os.MkdirTemp("", "frigg-lab-gitea-"); err != nil {
		return "", err
	}
	t.Cleanup(func() { _ = os.RemoveAll(g.dir) })
	if g.account, err = unprivileged(); err != nil {
		return "", err
	}
	if g.account == nil {
		return filepath.Join(installed, "static"), nil
	}
	if err := g.account.link(installed, g.dir); err != nil {
		return "", err
	}
	g.program = filepath.Join(g.dir, "gitea")
	return filepath.Join(g.dir, "static"), nil
}

func (g *Gitea) configure(port int, static string, opts GiteaOptions) error {
	f, err := os.OpenFile(g.config(), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := giteaTemplate.Execute(f, map[string]any{
		"URL": g.URL, "Port": port, "Work": filepath.Join(g.dir, "work"), "Static": static,
		"SecretKey": rand.Text(), "InternalToken": rand.Text(), "JWTSecret": jwtSecret(),
		"AccessTokenSeconds": seconds(opts.AccessTokenTTL, time.Hour),
	}); err != nil {
		return err
	}
	return g.account.own(g.config())
}

func (g *Gitea) config() string { return filepath.Join(g.dir, "app.ini") }

// jwtSecret is 32 random bytes in the encoding that Gitea wants.
func jwtSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return base64.RawURLEncoding.EncodeToString(key)
}

// command is one of Gitea's subcommands, to be run as the right account with nothing of our environment but the PATH.
func (g *Gitea) command(args ...string) *exec.Cmd {
	cmd := exec.Command(g.program, append(args, "--config", g.config())...)
	cmd.Dir = g.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "TMPDIR=" + g.dir, "USER=" + g.account.user()}
	cmd.SysProcAttr = ownGroup()
	cmd.SysProcAttr.Credential = g.account.credential()
	return cmd
}

// once runs a subcommand that ends by itself.
func (g *Gitea) once(t testing.TB, args ...string) {
	t.Helper()
	if out, err := g.command(args...).CombinedOutput(); err != nil {
		t.Fatalf("gitea %s: %v\n%s", args[0], err, tail(out, 40))
	}
}
