//go:build e2e && (linux || darwin)

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v82/webhook"

	"github.com/frigg-host/frigg-host/cmd/frigg-host/e2e/lab"
)

func (r *road) createIntegration(t *testing.T) {
	create := map[string]any{"entities": []string{r.stripeID, r.giteaID}, "config": map[string]any{"type": "stripe-gitea"}}
	r.page.say("Mallory with Ada's accounts, then Ada:")
	r.mallory.refused(t, http.StatusNotFound, http.MethodPost, "/api/integrations", create)
	var made record
	r.ada.must(t, http.StatusCreated, http.MethodPost, "/api/integrations", create, &made)
	r.id = made.ID
	r.ada.becomes(t, r.id, "NEEDS_CONFIG")

	var form struct{ JSONSchema schema }
	r.ada.must(t, http.StatusOK, http.MethodGet, r.path("/config/options"), nil, &form)
	if got := form.JSONSchema.options("repository"); !slices.Contains(got, "lab/"+repository) || !slices.Contains(got, "lab/"+otherRepo) {
		t.Fatalf("the form offers the repositories %q", got)
	}
	r.ada.refused(t, http.StatusBadRequest, http.MethodPatch, r.path(""), config(map[string]any{"repository": "lab/nowhere"}), "repository")
	r.ada.must(t, http.StatusOK, http.MethodPatch, r.path(""),
		config(map[string]any{"repository": "lab/" + repository, "stripe_webhook_secret": signingSecret}), nil)
	r.secrets["the signing secret of Stripe's webhook"] = signingSecret
	r.ada.becomes(t, r.id, "ENABLED")
	r.ada.quiet(t)
	if got := r.ada.read(t, r.id).Config["stripe_webhook_secret"]; got != "[secret]" {
		t.Errorf("the configuration shows %v", got)
	}
	r.page.say("Gitea has one webhook in `lab/%s`: `%s`.", repository, r.hook(t, repository))
	for _, s := range r.giteaTap.requests(http.MethodPost, "/api/v1/repos/lab/"+repository+"/hooks") {
		var made struct{ Config struct{ Secret string } }
		check(t, json.Unmarshal([]byte(s.Body), &made))
		r.secrets["the secret of Gitea's webhook"] = made.Config.Secret
	}
}

func (r *road) path(rest string) string { return "/api/integrations/" + r.id + rest }

func config(values map[string]any) map[string]any { return map[string]any{"config": values} }

// hooks are the addresses of the webhooks in a repository.
func (r *road) hooks(t *testing.T, repo string) []string {
	t.Helper()
	var hooks []struct{ Config struct{ URL string } }
	r.askGitea(t, http.MethodGet, "/repos/lab/"+repo+"/hooks", &hooks)
	var addresses []string
	for _, h := range hooks {
		addresses = append(addresses, h.Config.URL)
	}
	return addresses
}

// hook is the one webhook in a repository. None, two and one of somebody else fail t.
func (r *road) hook(t *testing.T, repo string) string {
	t.Helper()
	hooks := r.hooks(t, repo)
	if len(hooks) != 1 || !strings.HasPrefix(hooks[0], r.url()+"/") {
		t.Fatalf("webhooks in lab/%s: %q", repo, hooks)
	}
	return hooks[0]
}

// askGitea calls Gitea's API as its administrator.
func (r *road) askGitea(t *testing.T, method, path string, out any) {
	t.Helper()
	req, err := http.NewRequest(method, r.gitea.URL+"/api/v1"+path, nil)
	check(t, err)
	req.Header.Set("Authorization", "token "+r.gitea.PAT)
	a, err := send(req)
	check(t, err)
	if a.Status/100 != 2 {
		t.Fatalf("gitea %s %s: %d %s", method, path, a.Status, a.Body)
	}
	if out != nil {
		check(t, json.Unmarshal(a.Body, out))
	}
}

func (r *road) runActions(t *testing.T) {
	var actions map[string]struct{ Type, UserActionType string }
	r.ada.must(t, http.StatusOK, http.MethodGet, r.path("/actions"), nil, &actions)
	if len(actions) != 3 || actions["SYNC_NOW"].UserActionType != "QUICK_ACTION" {
		t.Fatalf("actions: %+v", actions)
	}
	var form struct{ JSONSchema schema }
	r.ada.must(t, http.StatusOK, http.MethodGet, r.path("/actions/OPEN_ISSUE_FOR_CUSTOMER/options"), nil, &form)
	customers := form.JSONSchema.options("customer")
	if len(customers) == 0 {
		t.Fatal("the form of the action offers no customer")
	}
	r.ada.must(t, http.StatusOK, http.MethodPost, r.path("/actions/OPEN_ISSUE_FOR_CUSTOMER"), map[string]any{"customer": customers[0]}, nil)
	r.ada.quiet(t)
	r.issueOf(t, customers[0])
	r.ada.must(t, http.StatusOK, http.MethodPost, r.path("/actions/OPEN_ISSUE_FOR_CUSTOMER"), map[string]any{"customer": customers[0]}, nil)
	r.ada.must(t, http.StatusOK, http.MethodPost, r.path("/actions/SYNC_NOW"), nil, nil)
	r.ada.quiet(t)
	r.issueOf(t, customers[0])

	var rows []struct{ Customer, Issue string }
	r.ada.must(t, http.StatusOK, http.MethodGet, "/api/demo/sample/"+r.id, nil, &rows)
	if len(rows) == 0 || rows[0].Issue != "lab/"+repository+"#1" {
		t.Errorf("sample data: %+v", rows)
	}
}

// issuesOf are the issues in a repository that the integration opened for a customer.
func (r *road) issuesOf(t *testing.T, repo, customer string) []lab.Issue {
	t.Helper()
	return slices.DeleteFunc(r.gitea.Issues(t, repo), func(i lab.Issue) bool { return !strings.Contains(i.Body, customer+" -->") })
}

// issueOf is the one issue of a customer, in whichever repository. None and two fail t.
func (r *road) issueOf(t *testing.T, customer string) lab.Issue {
	t.Helper()
	issues := append(r.issuesOf(t, repository, customer), r.issuesOf(t, otherRepo, customer)...)
	if len(issues) != 1 {
		t.Fatalf("%d issues of %s: %+v", len(issues), customer, issues)
	}
	return issues[0]
}

// event is a Stripe event about a new customer, in Stripe's own shape: the customer is what stripe-mock answers.
func (r *road) event(t *testing.T, customer, name string) []byte {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.stripe.URL+"/v1/customers/"+customer, nil)
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+r.stripe.Key)
	a, err := send(req)
	check(t, err)
	var object map[string]any
	check(t, json.Unmarshal(a.Body, &object))
	object["id"], object["name"], object["email"] = customer, name, customer+"@example.com"
	body, err := json.Marshal(map[string]any{
		"id": "evt_of_" + customer, "object": "event", "type": "customer.created", "livemode": false,
		"created": time.Now().Unix(), "api_version": "2026-08-26.dahlia", "data": map[string]any{"object": object},
	})
	check(t, err)
	return body
}

// post sends an event as Stripe does, signed at a time by Stripe's own library.
func (r *road) post(t *testing.T, event []byte, secret string, at time.Time) answer {
	t.Helper()
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: event, Secret: secret, Timestamp: at})
	path := "/api/stripe-gitea-integration/webhooks/" + r.id + "/stripe"
	req, err := http.NewRequest(http.MethodPost, r.url()+path, bytes.NewReader(event))
	check(t, err)
	req.Header.Set("Stripe-Signature", signed.Header)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	a, err := send(req)
	check(t, err)
	r.page.block(fmt.Sprintf("> POST %s (Stripe-Signature: t=...,v1=...)\n< %d %s", path, a.Status, r.page.clip(brief(a))))
	return a
}

// deliver posts an event that must be acknowledged.
func (r *road) deliver(t *testing.T, event []byte) {
	t.Helper()
	if a := r.post(t, event, signingSecret, time.Now()); a.Status != http.StatusOK {
		t.Fatalf("the event was not acknowledged: %d %s", a.Status, a.Body)
	}
}

func (r *road) receiveStripe(t *testing.T) {
	const customer = "cus_Ada"
	event := r.event(t, customer, "Ada Lovelace")
	r.page.say("Signed with another secret; signed yesterday; signed by Stripe's own library with the secret that Ada filled in:")
	if a := r.post(t, event, "whsec_other", time.Now()); a.Status != http.StatusUnauthorized {
		t.Errorf("a signature with another secret: %d %s", a.Status, a.Body)
	}
	if a := r.post(t, event, signingSecret, time.Now().Add(-24*time.Hour)); a.Status != http.StatusUnauthorized {
		t.Errorf("a signature of yesterday: %d %s", a.Status, a.Body)
	}
	r.deliver(t, event)
	r.ada.quiet(t)
	issue := r.issueOf(t, customer)
	if issue.State != "open" || !strings.Contains(issue.Title, "Ada Lovelace") {
		t.Errorf("issue: %+v", issue)
	}
	r.page.say("Gitea has issue #%d: \"%s\".", issue.Number, issue.Title)
	written := r.written(t, customer)
	if len(written) != 1 || written[0].form(t).Get("metadata[onboarding]") != "open" || written[0].Header.Get("Idempotency-Key") == "" {
		t.Fatalf("Stripe saw %+v", written)
	}
	r.page.wire("stripe", written[0])

	r.deliver(t, event)
	r.ada.quiet(t)
	r.issueOf(t, customer)
	if n := len(r.written(t, customer)); n != 1 {
		t.Errorf("the redelivered event was worked again: %d writes at Stripe", n)
	}
	r.page.say("The same event again is acknowledged and not worked again: one issue, one write at Stripe.")
}

// written are the changes of a customer that Stripe has received and answered. One that it refused fails t.
func (r *road) written(t *testing.T, customer string) []seen {
	t.Helper()
	var all []seen
	for _, s := range r.stripeTap.requests(http.MethodPost, "/v1/customers/"+customer) {
		switch s.Status {
		case http.StatusOK:
			all = append(all, s)
		case 0: // under way
		default:
			t.Errorf("stripe-mock answered %d to %s %s", s.Status, s.Path, s.Body)
		}
	}
	return all
}

// onboarding is what Stripe was told last of a customer.
func (r *road) onboarding(t *testing.T, customer string) string {
	t.Helper()
	written := r.written(t, customer)
	if len(written) == 0 {
		return ""
	}
	return written[len(written)-1].form(t).Get("metadata[onboarding]")
}

func (r *road) receiveGitea(t *testing.T) {
	const customer = "cus_Ada"
	issue := r.issueOf(t, customer)
	r.gitea.CloseIssue(t, repository, issue.Number)
	eventually(t, workDeadline, "write at Stripe after the issue was closed", func() bool { return len(r.written(t, customer)) == 2 })
	r.ada.quiet(t)
	write := r.written(t, customer)[1]
	if form := write.form(t); form.Get("metadata[onboarding]") != "done" || form.Get("metadata[onboarding_closed_at]") == "" {
		t.Errorf("Stripe saw %+v", form)
	}
	if write.Header.Get("Idempotency-Key") == r.written(t, customer)[0].Header.Get("Idempotency-Key") {
		t.Error("two different writes have the same idempotency key")
	}
	r.page.say("Ada closes issue #%d in Gitea. Gitea delivers a webhook that it signs itself.", issue.Number)
	r.page.wire("stripe", write)

	r.gitea.Redeliver(t, repository)
	eventually(t, workDeadline, "redelivery by Gitea", func() bool { return len(r.written(t, customer)) == 3 })
	r.ada.quiet(t)
	if again := r.written(t, customer)[2]; again.Body != write.Body {
		t.Errorf("the redelivery wrote something else: %s, then %s", write.Body, again.Body)
	}
	r.issueOf(t, customer)
	r.page.say("Gitea's own redelivery comes under a new delivery id, so it is worked again, and writes the same values: still one issue.")
}
