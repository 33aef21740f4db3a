package host_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const root = "github.com/frigg-host/frigg-host/"

// wall says what a room must not know, and why.
type wall struct {
	room string // a package; "/..." takes those below it along
	not  []string
	why  string
}

const (
	wazero  = "github.com/tetratelabs/wazero"
	extism  = "github.com/extism/go-sdk"
	esbuild = "github.com/evanw/esbuild"
	echo    = "github.com/labstack/echo/v4"
	huma    = "github.com/danielgtaylor/huma/v2"
	sqlite  = "modernc.org/sqlite"
	kong    = "github.com/alecthomas/kong"
)

// walls are the rows of the house. Changing one is fine: change the reason with it.
var walls = []wall{
	{"abi", []string{root + "...", "net/http", "database/sql", wazero}, "guests import the contract, so it knows nothing of the host"},
	{"host/fault", []string{root + "..."}, "the one error crosses every wall, so it stands on none"},
	{"host/secret", []string{root + "abi", root + "host/account", root + "host/connection", root + "store", "net/http", "database/sql"}, "the sealer does not know what secrets are for"},
	{"host/pointer", []string{root + "...", "net/http", "database/sql"}, "whoever reads JSON reads it alike, whatever it is"},
	{"host/form", []string{root + "host/account", root + "host/plugin", root + "host/guest", root + "host/requester", root + "host/connection", root + "host/integration", root + "store", "net/http", "database/sql"}, "a form is judged alike, whoever shows it"},
	{"host/account", []string{root + "abi", root + "host/plugin", root + "host/guest", root + "host/connection", root + "host/integration", root + "host/job", root + "store", "net/http", "database/sql", echo}, "users exist without integrations"},
	{"host/plugin/...", []string{root + "host/account", root + "host/connection", root + "host/integration", root + "host/guest", root + "store", wazero, extism, "database/sql", echo}, "what is installed does not depend on how it runs or who uses it"},
	{"host/guest/...", []string{root + "host/account", root + "host/secret", root + "host/connection", root + "host/integration", root + "host/requester", root + "store", "net/http", "database/sql", echo}, "an engine knows no owner, no credential and no network"},
	{"host/guest/process", []string{root + "host/plugin", wazero, extism}, "what carries calls to another process does not know what runs there"},
	{"host/requester", []string{root + "abi", root + "host/account", root + "host/plugin", root + "host/guest", root + "host/connection", root + "host/integration", root + "store", "database/sql", wazero, echo}, "the way out does not know whose credential it carries"},
	{"host/connection", []string{root + "host/integration", root + "host/job", root + "host/guest", root + "host/api", root + "store", wazero, extism, "database/sql", echo}, "accounts exist without integrations"},
	{"host/event", []string{root + "abi", root + "host/plugin", root + "host/guest", root + "host/connection", root + "host/integration", root + "host/job", root + "host/outbound", root + "store", "net/http", "database/sql", echo}, "a fact does not know who listens, nor the room in which it happened"},
	{"host/outbound", []string{root + "abi", root + "host/plugin", root + "host/guest", root + "host/connection", root + "host/integration", root + "host/api", root + "store", "database/sql", wazero, echo}, "whoever is told sees facts, and nothing of how they came to be"},
	{"host/job", []string{root + "abi", root + "host/plugin", root + "host/guest", root + "host/connection", root + "host/integration", root + "store", "net/http", "database/sql", wazero, echo}, "a queue does not know what its jobs do"},
	{"host/webhook", []string{root + "host/account", root + "host/plugin", root + "host/guest", root + "host/requester", root + "host/connection", root + "host/integration", root + "host/job", root + "host/api", root + "store", "database/sql", wazero, echo}, "what a vendor signs is judged without knowing for whom"},
	{"host/journal", []string{root + "host/guest", root + "host/connection", root + "host/integration", root + "host/requester", root + "store", "net/url", "database/sql", wazero, echo}, "a record is kept alike, whatever a host call means"},
	{"host/integration", []string{root + "host/guest", root + "host/requester", root + "host/api", root + "store", wazero, extism, "database/sql", echo}, "the domain runs on any engine, database and web framework"},
	{"host/schedule", []string{root + "host/guest", root + "host/requester", root + "host/secret", root + "host/api", root + "store", "net/http", wazero, extism, "database/sql", echo}, "time starts work and knows nothing of how it is done"},
	{"host/syncs", []string{root + "host/connection", root + "host/guest", root + "host/requester", root + "host/api", root + "store", "net/http", wazero, extism, "database/sql", echo}, "what keeps records in step knows no account's token and no vendor"},
	{"host/api", []string{root + "host/guest", root + "host/requester", root + "store", wazero, extism, "database/sql", sqlite}, "the edge decodes, calls one method and encodes"},
	{"host/demo", []string{root + "..."}, "the demo vendor is somebody else's service"},
	{"host/sim", []string{root + "..."}, "the judge sees a host from outside"},
	{"host/...", []string{root + "cmd/frigg-host/...", kong}, "flags and signals belong to the command"},
	{"store/...", []string{root + "host/guest", root + "host/requester", root + "host/api", root + "host/demo", wazero, extism, echo}, "the store knows the rooms' types and no rule"},
	{"store/disk", []string{root + "..."}, "a disk does not know what is on it"},
	{"cmd/frigg-host", []string{wazero, extism, echo, huma, "database/sql", sqlite}, "the command prints; what it runs is in the host"},
}

// only names the packages that alone may import something.
var only = map[string][]string{
	wazero:  {"host/guest"},
	extism:  {"host/guest"},
	esbuild: {"host/plugin/bundle"},
	echo:    {"host/api"},
	huma:    {"host/api"},
	sqlite:  {"store"},
	kong:    {"cmd/frigg-host"},
}

// storeUsers are the packages that may import the store: those that join the house.
var storeUsers = []string{"host", "store/storetest", "cmd/frigg-host"}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", root+"...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, root)
		all = append(all, p)
	}
	return all
}

// matches reports whether an import path is the pattern, or below it if the pattern ends in "/...".
func matches(pattern, path string) bool {
	if below, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(path, below) || path+"/" == below
	}
	return path == pattern
}

// inModule is like matches for libraries: a wall against a library takes its packages along.
func inModule(library, path string) bool {
	return path == library || strings.HasPrefix(path, library+"/")
}

// breaches lists what all does against the walls.
func breaches(all []pkg, walls []wall) (found []string, used map[string]bool) {
	used = map[string]bool{}
	for _, p := range all {
		for _, w := range walls {
			if !matches(w.room, p.ImportPath) {
				continue
			}
			used[w.room] = true
			for _, imp := range p.Imports {
				for _, n := range w.not {
					own := strings.TrimPrefix(imp, root)
					if own != imp && matches(w.room, own) && n == root+"..." {
						continue // a package below the room
					}
					if matches(n, imp) || (!strings.HasPrefix(n, root) && strings.Contains(n, ".") && inModule(n, imp)) {
						found = append(found, p.ImportPath+" imports "+imp+": "+w.why)
					}
				}
			}
		}
		for library, rooms := range only {
			for _, imp := range p.Imports {
				if inModule(library, imp) && !slices.ContainsFunc(rooms, func(r string) bool { return inModule(r, p.ImportPath) }) {
					found = append(found, p.ImportPath+" imports "+imp+", which only "+strings.Join(rooms, ", ")+" may")
				}
			}
		}
		if slices.Contains(p.Imports, root+"store") && !slices.Contains(storeUsers, p.ImportPath) {
			found = append(found, p.ImportPath+" imports the store; rooms declare what they need of it")
		}
	}
	return found, used
}

func TestRooms_NobodyReachesThroughAWall(t *testing.T) {
	t.Parallel()
	found, used := breaches(packages(t), walls)
	for _, f := range found {
		t.Error(f)
	}
	for _, w := range walls {
		if !used[w.room] {
			t.Errorf("there is no package %s: the wall protects nothing", w.room)
		}
	}
}

func TestRooms_ABreachIsSeen(t *testing.T) {
	t.Parallel()
	for _, bad := range []pkg{
		{"host/fault", []string{root + "host/secret"}},
		{"host/integration", []string{root + "store"}},
		{"host/integration", []string{wazero + "/api"}},
		{"host/account", []string{root + "host/connection"}},
		{"host/job", []string{root + "host/integration"}},
		{"host/api", []string{"database/sql"}},
		{"store", []string{echo}},
		{"abi", []string{root + "host/fault"}},
		{"host/demo", []string{root + "store"}},
		{"plugins/examples/gitea", []string{sqlite}},
	} {
		if found, _ := breaches([]pkg{bad}, walls); len(found) == 0 {
			t.Errorf("%s importing %s goes unseen", bad.ImportPath, bad.Imports[0])
		}
	}
}
