//go:build e2e && (linux || darwin)

package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/cmd/frigg-host/e2e/lab"
)

// road is the main job with everything that takes part: an operator's host, two users, Gitea and stripe-mock behind taps.
type road struct {
	*installation
	page *page

	gitea             *lab.Gitea // as the host and the person reach it, through its tap
	giteaTap          *tap
	stripe            *lab.Stripe
	stripeTap         *tap
	appID, appSecret  string // of the OAuth2 application in Gitea
	ada, mallory      *client
	callback          map[string]any // of the first authorisation, used up
	giteaID, stripeID string         // entities
	id                string         // of the integration
	secrets           map[string]string
}

const (
	repository    = "customers"
	otherRepo     = "others"
	signingSecret = "whsec_5ecretOfTheEndToEndTests"
	giteaTokenTTL = 6 * time.Second
)

// TestRoad walks the main job from an empty folder to a removed integration. Steps build on one another.
func TestRoad(t *testing.T) {
	r := newRoad(t)
	for _, step := range []struct {
		title string
		walk  func(*testing.T)
	}{
		{"The operator drops plugins into the folder of a running host; they wait for approval", r.dropPlugins},
		{"The operator approves them, and the running host notices", r.approve},
		{"Users are created", r.createUsers},
		{"Ada connects Gitea: a form, a real sign-in with consent, a callback", r.connectGitea},
		{"A callback is good for one user, one module and one time", r.replayCallback},
		{"Ada connects Stripe with an API key", r.connectStripe},
		{"Ada creates the integration and configures it with a form that asks Gitea", r.createIntegration},
		{"Ada runs actions", r.runActions},
		{"A new Stripe customer opens an issue, once", r.receiveStripe},
		{"Closing the issue in Gitea writes back to Stripe, by a signed webhook", r.receiveGitea},
		{"Access tokens expire; each refresh token is spent once", r.expire},
		{"A refresh token that was spent elsewhere: work waits until Ada authorises again", r.loseToken},
		{"Nothing of Ada's exists for Mallory", r.keepOut},
		{"kill -9 before Gitea heard of the issue", r.killBefore},
		{"kill -9 after Gitea opened the issue, with another event acknowledged and not begun", r.killAfter},
		{"kill -9 while the webhook moves to another repository", r.killMoving},
		{"The host stops and starts again", r.restart},
		{"Ada removes everything, and Gitea's webhook goes too", r.remove},
		{"No secret is in the data folder, the log or an answer", r.findNoSecrets},
	} {
		if !t.Run(step.title, func(t *testing.T) {
			r.page.step(step.title)
			step.walk(t)
		}) {
			return
		}
	}
}

func newRoad(t *testing.T) *road {
	r := &road{installation: install(t), page: newPage(t, "The road"), stripe: lab.StartStripe(t), secrets: map[string]string{}}
	server := lab.StartGitea(t, lab.GiteaOptions{AccessTokenTTL: giteaTokenTTL})
	server.CreateRepo(t, repository)
	server.CreateRepo(t, otherRepo)
	r.giteaTap, r.stripeTap = tapOf(t, server.URL), tapOf(t, r.stripe.URL)
	behindTap := *server
	behindTap.URL = r.giteaTap.URL
	r.gitea = &behindTap
	for text, name := range map[string]string{
		r.url(): "http://frigg", server.URL: "http://gitea", r.giteaTap.URL: "http://gitea",
		r.stripeTap.URL: "http://stripe", r.plugins: "PLUGINS", r.data: "DATA",
	} {
		r.page.alias(text, name)
	}
	return r
}

// operate runs a subcommand and writes it down.
func (r *road) operate(t *testing.T, typed string, args ...string) {
	t.Helper()
	output, notes := r.run(t, "", args...)
	r.page.command("frigg-host "+typed, output+notes)
}

var plugins = []string{"gitea", "stripe", "stripe-gitea"}

func (r *road) dropPlugins(t *testing.T) {
	r.start(t)
	for _, name := range plugins {
		r.drop(t, name)
	}
	for _, name := range plugins {
		if p := r.list(t)[name]; p.State != "needs_approval" || p.Serving {
			t.Errorf("%s: %+v, want one that waits for approval", name, p)
		}
	}
	r.operate(t, "plugin list", "plugin", "list")
}

func (r *road) approve(t *testing.T) {
	for _, name := range plugins {
		r.operate(t, "plugin approve "+name+" --yes", "plugin", "approve", name, "--yes")
	}
	r.operate(t, "plugin set stripe api_base=http://stripe", "plugin", "set", "stripe", "api_base="+r.stripeTap.URL)
	r.operate(t, "plugin list", "plugin", "list")
}

func (r *road) createUsers(t *testing.T) {
	_, token := r.createUser(t, "ada")
	r.ada = &client{r.url(), token, r.page}
	anonymous := &client{r.url(), "", r.page}
	login := map[string]any{"username": "mallory", "password": "another good password"}
	var created, again struct{ Token string }
	anonymous.must(t, http.StatusCreated, http.MethodPost, "/user/create", login, &created)
	anonymous.must(t, http.StatusCreated, http.MethodPost, "/user/login", login, &again)
	r.mallory = &client{r.url(), again.Token, r.page}
	r.secrets["Ada's token"], r.secrets["Mallory's token"] = token, again.Token

	var options struct {
		Options []struct{ Type string }
	}
	eventually(t, startDeadline, "modules that serve", func() bool {
		for _, module := range []string{"gitea", "stripe"} {
			if r.ada.silent().call(t, http.MethodGet, "/api/authorize?entityType="+module, nil).Status != http.StatusOK {
				return false
			}
		}
		return true
	})
	eventually(t, startDeadline, "integration to choose", func() bool {
		r.ada.silent().must(t, http.StatusOK, http.MethodGet, "/api/integrations/options", nil, &options)
		return len(options.Options) == 1 && options.Options[0].Type == "stripe-gitea"
	})
	r.ada.must(t, http.StatusOK, http.MethodGet, "/api/integrations/options", nil, nil)
}
