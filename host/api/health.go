package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

const serviceName = "frigg-host"

// healthTimeout bounds one check.
const healthTimeout = 5 * time.Second

// Health is what the host can measure of itself.
type Health interface {
	// Database reads from the database.
	Database(ctx context.Context) error
	// Encryption seals a probe, opens it again and compares. mode names the algorithm.
	Encryption(ctx context.Context) (mode string, err error)
}

// Alive says that the host answers.
type Alive struct {
	Status    string    `json:"status" enum:"ok"`
	Timestamp time.Time `json:"timestamp"`
	Service   string    `json:"service" example:"frigg-host"`
}

// Ready says whether the host can serve.
type Ready struct {
	Ready     bool        `json:"ready"`
	Timestamp time.Time   `json:"timestamp"`
	Checks    ReadyChecks `json:"checks"`
}

// ReadyChecks are the parts without which the host cannot serve.
type ReadyChecks struct {
	Database bool `json:"database"`
	Modules  bool `json:"modules" doc:"False only if no installed plugin can run."`
}

func (r Ready) status() int { return healthStatus(r.Ready) }

// Detailed is the health of every part.
type Detailed struct {
	Service      string    `json:"service" example:"frigg-host"`
	Status       string    `json:"status" enum:"healthy,unhealthy"`
	Timestamp    time.Time `json:"timestamp"`
	Checks       Checks    `json:"checks"`
	ResponseTime int64     `json:"responseTime" doc:"Milliseconds." example:"3"`
}

func (d Detailed) status() int { return healthStatus(d.Status == healthy) }

// Checks are the parts.
type Checks struct {
	Database     DatabaseCheck          `json:"database"`
	Encryption   EncryptionCheck        `json:"encryption"`
	ExternalAPIs map[string]ExternalAPI `json:"externalApis"`
	Integrations IntegrationsCheck      `json:"integrations"`
}

// DatabaseCheck is a read from the database.
type DatabaseCheck struct {
	Status       string `json:"status" enum:"healthy,unhealthy"`
	State        string `json:"state" enum:"connected,disconnected"`
	ResponseTime int64  `json:"responseTime" doc:"Milliseconds." example:"1"`
}

// EncryptionCheck is a probe that was sealed and opened.
type EncryptionCheck struct {
	Status          string `json:"status" enum:"healthy,unhealthy"`
	Mode            string `json:"mode" example:"aes-256-gcm"`
	TestResult      string `json:"testResult" example:"a probe was sealed and opened"`
	EncryptionWorks bool   `json:"encryptionWorks"`
}

// ExternalAPI is the reachability of another system.
type ExternalAPI struct {
	Status       string `json:"status" enum:"healthy,unhealthy"`
	StatusCode   int    `json:"statusCode"`
	ResponseTime int64  `json:"responseTime" doc:"Milliseconds."`
	Reachable    bool   `json:"reachable"`
}

// IntegrationsCheck are the installed plugins.
type IntegrationsCheck struct {
	Status       string    `json:"status" enum:"healthy,unhealthy"`
	Modules      Installed `json:"modules"`
	Integrations Installed `json:"integrations"`
}

// Installed are the plugins of one kind.
type Installed struct {
	Count     int            `json:"count" doc:"How many can be used." example:"1"`
	Available []string       `json:"available" doc:"Their names." example:"[\"demo-crm\"]"`
	Blocked   []BlockedState `json:"blocked" doc:"Those that cannot be used, and why. *Own addition.*"`
}

// BlockedState is a plugin that cannot be used.
type BlockedState struct {
	Name    string       `json:"name" example:"stripe"`
	State   plugin.State `json:"state" enum:"needs_approval,broken"`
	Problem string       `json:"problem" example:"approve it first"`
}

const (
	healthy   = "healthy"
	unhealthy = "unhealthy"
)

type aliveInput struct{}

type healthInput struct{ monitor }

func (a *API) health() {
	tags := []string{tagHealth}
	operation(a, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/health", Tags: tags,
		Summary: "Does the host answer?",
	}, a.alive)
	operation(a, huma.Operation{
		OperationID: "healthLive", Method: http.MethodGet, Path: "/health/live", Tags: tags,
		Summary: "Is the host alive?", Description: "The same as /health.",
	}, a.live)
	operation(a, huma.Operation{
		OperationID: "healthReady", Method: http.MethodGet, Path: "/health/ready", Tags: tags,
		Summary: "Can the host serve?",
	}, a.ready)
	operation(a, huma.Operation{
		OperationID: "healthDetailed", Method: http.MethodGet, Path: "/health/detailed", Tags: tags,
		Summary: "How is every part?", Description: "A plugin that waits for approval is not unhealthy.",
	}, a.detailed)
}

func (a *API) alive(context.Context, *aliveInput) (Alive, error) {
	return Alive{"ok", a.now(), serviceName}, nil
}

func (a *API) live(ctx context.Context, _ *healthInput) (Alive, error) { return a.alive(ctx, nil) }

func (a *API) ready(ctx context.Context, _ *healthInput) (Ready, error) {
	checks := ReadyChecks{Database: a.checkDatabase(ctx).Status == healthy, Modules: a.anyPluginRuns()}
	return Ready{checks.Database && checks.Modules, a.now(), checks}, nil
}

func (a *API) detailed(ctx context.Context, _ *healthInput) (Detailed, error) {
	begun := time.Now()
	checks := Checks{Database: a.checkDatabase(ctx), Encryption: a.checkEncryption(ctx), ExternalAPIs: map[string]ExternalAPI{}, Integrations: a.checkPlugins()}
	all := checks.Database.Status == healthy && checks.Encryption.Status == healthy && checks.Integrations.Status == healthy
	return Detailed{serviceName, healthText(all), a.now(), checks, time.Since(begun).Milliseconds()}, nil
}

func (a *API) checkDatabase(ctx context.Context) DatabaseCheck {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	begun := time.Now()
	err := a.Health.Database(ctx)
	out := DatabaseCheck{healthText(err == nil), "connected", time.Since(begun).Milliseconds()}
	if err != nil {
		out.State = "disconnected"
		a.Log.ErrorContext(ctx, "the database does not answer", "err", err)
	}
	return out
}

func (a *API) checkEncryption(ctx context.Context) EncryptionCheck {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	mode, err := a.Health.Encryption(ctx)
	if err != nil {
		a.Log.ErrorContext(ctx, "a probe could not be sealed and opened", "err", err)
		return EncryptionCheck{unhealthy, mode, "a probe could not be sealed and opened", false}
	}
	return EncryptionCheck{healthy, mode, "a probe was sealed and opened", true}
}

// checkPlugins is unhealthy when a plugin is broken. One that waits for approval waits for a person.
func (a *API) checkPlugins() IntegrationsCheck {
	out := IntegrationsCheck{healthy, Installed{Available: []string{}, Blocked: []BlockedState{}}, Installed{Available: []string{}, Blocked: []BlockedState{}}}
	for _, p := range a.Plugins.Plugins() {
		list := &out.Modules
		if p.Kind == abi.PluginKindIntegration {
			list = &out.Integrations
		}
		if p.State == plugin.Ready {
			list.Count++
			list.Available = append(list.Available, p.Name)
			continue
		}
		if p.State == plugin.Broken {
			out.Status = unhealthy
		}
		list.Blocked = append(list.Blocked, BlockedState{p.Name, p.State, p.Problem})
	}
	return out
}

// anyPluginRuns is false only if all that is installed is broken: one bad file must not take the host out of service.
func (a *API) anyPluginRuns() bool {
	all := a.Plugins.Plugins()
	return len(all) == 0 || slices.ContainsFunc(all, func(p *plugin.Plugin) bool { return p.State != plugin.Broken })
}

func healthText(ok bool) string {
	if ok {
		return healthy
	}
	return unhealthy
}

func healthStatus(ok bool) int {
	if ok {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}
