// Package host joins the rooms: New, Run, Close, Config. It says which rooms exist and how they are joined, and nothing
// else; flags, environment and signals are the command's.
package host

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/outbound"
	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/schedule"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/syncs"
	"github.com/frigg-host/frigg-host/store"
)

// Config of a host. DataDir and PluginsDir are required.
type Config struct {
	// DataDir holds the database, compiled code and the plugins that were ever installed. It is created with mode 0700.
	DataDir string
	// PluginsDir is the folder into which people drop `.wasm` files. It is created if missing.
	PluginsDir string
	// KeyFile holds the root key; "" is DataDir with ".key" at its end, beside the folder and so outside of its backups.
	KeyFile string
	// Key is the root key itself, in base64, and goes before KeyFile. Zero means KeyFile.
	Key secret.Text
	// Grants are versions of plugins, by digest, that are granted what they ask for. Others wait for approval.
	Grants []plugin.Digest
	// Dev grants plugins what they ask for and says so, and lets requests reach this machine.
	Dev bool
	// PublicURL is the address under which browsers and vendors reach this host, without a trailing slash.
	PublicURL string
	// FrontendURL is the application that gets the person back after authorising at a vendor.
	FrontendURL string
	// AllowPrivate opens private networks for requests of plugins.
	AllowPrivate []netip.Prefix
	// AllowedOrigins may call the API from a browser.
	AllowedOrigins []string
	// TrustedProxies may say which address a request came from.
	TrustedProxies []netip.Prefix
	// BackendKey lets the embedding product's backend act for its users; zero means nobody may.
	BackendKey secret.Text
	// ClosedSignUp leaves the creation of users to the operator; otherwise anybody who reaches the API may become one.
	ClosedSignUp bool
	// HealthKey opens the detailed health pages; zero means they are closed.
	HealthKey secret.Text
	// Accounts configures users.
	Accounts account.Config
	// Engine is "native" (also "") or "extism".
	Engine string
	// Isolate is IsolateNone (also "") or IsolateProcess. The program must then have the command process.Argument.
	Isolate string
	// Workers is how many jobs run at once; zero is 8.
	Workers int
	// TenantJobs is how many jobs of one owner run at once, over all hosts on the database; zero is three quarters of Workers,
	// so that nobody takes all of them with long jobs.
	TenantJobs int
	// ConnectionJobs is how many jobs that use one connected account run at once; zero is 4.
	ConnectionJobs int
	// GuestMemory bounds the bytes of memory that all guests together may take; zero is a quarter of the machine's memory,
	// at least 1 GiB. A call counts with its limits, 192 MiB by default; one plugin has at most half.
	GuestMemory uint64
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Log is silent when nil.
	Log *slog.Logger
	// AfterCall sees the memory of every guest after its call; for diagnosis and tests only.
	AfterCall func(plugin string, memory [][]byte)
	// Offline opens the rooms for a command that looks or changes something, also beside a running host: no lock is
	// taken, no plugin compiled, no job worked.
	Offline bool
}

// Where guests run.
const (
	IsolateNone    = "none"    // in the process of the host
	IsolateProcess = "process" // each plugin in a child process, closed off from this machine
)

// Host is the joined house. Close it.
type Host struct {
	Accounts     *account.Service
	Plugins      *plugin.Service
	Connections  *connection.Service
	Integrations *integration.Service
	Jobs         *job.Service
	Schedules    *schedule.Service
	Runs         *journal.Service
	Facts        *event.Service
	Outbound     *outbound.Service
	Syncs        *syncs.Service
	// KeyCreated is the path of the key file if this start made one: the operator must be told.
	KeyCreated string

	cfg       Config
	db        *store.DB
	vault     *secret.Vault
	requester *requester.Requester
	engine    guest.Engine
	registry  *plugin.Registry
	workers   *job.Workers
	handler   http.Handler
	undo      []func() error // newest last
	closing   sync.Once
	closed    error
}

// loopback is open in development.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func (c Config) orDefault() (Config, error) {
	switch {
	case c.DataDir == "" || c.PluginsDir == "":
		return c, fault.New(fault.Invalid, "host.New", "a data folder and a plugins folder must be given")
	case c.Workers < 0:
		return c, fault.New(fault.Invalid, "host.New", "%d jobs cannot run at once; leave the number of workers out, or give at least 1", c.Workers)
	case c.TenantJobs < 0 || c.ConnectionJobs < 0:
		return c, fault.New(fault.Invalid, "host.New", "caps of jobs that run at once must be at least 1; leave them out for the defaults")
	case !slices.Contains([]string{"", IsolateNone, IsolateProcess}, c.Isolate):
		return c, fault.New(fault.Invalid, "host.New", "guests cannot be isolated by %q; use %s or %s", c.Isolate, IsolateNone, IsolateProcess)
	case c.PublicURL != "" && !isAddress(c.PublicURL):
		return c, fault.New(fault.Invalid, "host.New", "the public URL %q must be an address such as https://hooks.example.com", c.PublicURL)
	case c.FrontendURL != "" && !isAddress(c.FrontendURL):
		return c, fault.New(fault.Invalid, "host.New", "the frontend URL %q must be an address such as https://app.example.com", c.FrontendURL)
	}
	if i := slices.IndexFunc(c.Grants, func(d plugin.Digest) bool { return !d.Valid() }); i >= 0 {
		return c, fault.New(fault.Invalid, "host.New", "%q cannot be granted: it is no digest; `frigg-host plugin inspect` shows that of a file", c.Grants[i])
	}
	data, err := filepath.Abs(c.DataDir)
	if err != nil {
		return c, err
	}
	c.DataDir = data
	if c.KeyFile == "" {
		c.KeyFile = data + ".key"
	}
	if c.Engine == "" {
		c.Engine = guest.Native
	}
	c.Workers = cmp.Or(c.Workers, 8)
	c.TenantJobs = cmp.Or(c.TenantJobs, max(1, c.Workers*3/4))
	c.ConnectionJobs = cmp.Or(c.ConnectionJobs, 4)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Dev {
		c.AllowPrivate = append(loopback, c.AllowPrivate...)
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	c.FrontendURL = strings.TrimRight(c.FrontendURL, "/")
	return c, nil
}

// isAddress reports that paths can be put behind text.
func isAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == ""
}
