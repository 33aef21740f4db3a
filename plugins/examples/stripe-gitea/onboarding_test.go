package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/examples/stripe/stripeapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
)

func TestManifest_SaysWhatTheProgramDoes(t *testing.T) { friggtest.CheckManifest(t, "manifest.yaml") }

// world is a Stripe account and a Gitea server, as their modules show them.
type world struct {
	*friggtest.Integration
	customers map[string]stripeapi.Customer
	order     []string // of customers
	repos     []giteaapi.Repository
	issues    map[string][]giteaapi.Issue // by repository
	hooks     map[int64]giteaapi.NewWebhook
}

func newWorld(t *testing.T) *world {
	w := &world{
		Integration: friggtest.NewIntegration(t, map[string]string{"repository": "lab/crm"}),
		customers:   map[string]stripeapi.Customer{},
		issues:      map[string][]giteaapi.Issue{},
		hooks:       map[int64]giteaapi.NewWebhook{},
		repos: []giteaapi.Repository{
			{FullName: "lab/crm", Permissions: giteaapi.Permissions{Admin: true}},
			{FullName: "lab/other", Permissions: giteaapi.Permissions{Admin: true}},
			{FullName: "somebody/else", Permissions: giteaapi.Permissions{Push: true}},
			{FullName: "lab/old", Archived: true, Permissions: giteaapi.Permissions{Admin: true}},
		},
	}
	w.actAsStripe()
	w.actAsGitea()
	return w
}

func (w *world) actAsStripe() {
	friggtest.OnModule(w.Integration, stripe, stripeapi.GetCustomer, func(in stripeapi.CustomerArgs) (stripeapi.Customer, error) {
		customer, ok := w.customers[in.ID]
		if !ok {
			return customer, frigg.NotFound("No such customer: '%s'", in.ID)
		}
		return customer, nil
	})
	friggtest.OnModule(w.Integration, stripe, stripeapi.UpdateCustomer, func(in stripeapi.CustomerChange) (stripeapi.Customer, error) {
		customer, ok := w.customers[in.ID]
		if !ok {
			return customer, frigg.NotFound("No such customer: '%s'", in.ID)
		}
		if customer.Metadata == nil {
			customer.Metadata = map[string]string{}
		}
		for key, value := range in.Metadata {
			if customer.Metadata[key] = value; value == "" {
				delete(customer.Metadata, key)
			}
		}
		w.customers[in.ID] = customer
		return customer, nil
	})
	friggtest.OnModule(w.Integration, stripe, stripeapi.ListCustomers, func(in stripeapi.ListCustomersArgs) (frigg.Page[stripeapi.Customer], error) {
		page := frigg.Page[stripeapi.Customer]{}
		behind := in.Cursor == ""
		for _, id := range w.order {
			if behind && len(page.Items) == 2 { // a small page, whatever the limit
				page.Next = page.Items[1].ID
				break
			}
			if behind {
				page.Items = append(page.Items, w.customers[id])
			}
			behind = behind || id == in.Cursor
		}
		return page, nil
	})
}

func (w *world) actAsGitea() {
	friggtest.OnModule(w.Integration, gitea, giteaapi.ListRepos, func(giteaapi.ListReposArgs) (frigg.Page[giteaapi.Repository], error) {
		return frigg.Page[giteaapi.Repository]{Items: w.repos}, nil
	})
	friggtest.OnModule(w.Integration, gitea, giteaapi.GetRepo, func(in giteaapi.RepoArgs) (giteaapi.Repository, error) {
		for _, r := range w.repos {
			if r.FullName == in.Repository {
				return r, nil
			}
		}
		return giteaapi.Repository{}, frigg.NotFound("no such repository")
	})
	friggtest.OnModule(w.Integration, gitea, giteaapi.CreateIssue, func(in giteaapi.NewIssue) (giteaapi.Issue, error) {
		number := int64(len(w.issues[in.Repository]) + 1)
		issue := giteaapi.Issue{
			Number: number, Title: in.Title, Body: in.Body, State: giteaapi.Open,
			HTMLURL: fmt.Sprintf("https://git.example/%s/issues/%d", in.Repository, number),
		}
		for _, l := range in.Labels {
			issue.Labels = append(issue.Labels, giteaapi.Label{Name: l})
		}
		w.issues[in.Repository] = append(w.issues[in.Repository], issue)
		return issue, nil
	})
	friggtest.OnModule(w.Integration, gitea, giteaapi.GetIssue, func(in giteaapi.IssueArgs) (giteaapi.Issue, error) {
		return w.issues[in.Repository][in.Number-1], nil
	})
	friggtest.OnModule(w.Integration, gitea, giteaapi.ListIssues, func(in giteaapi.ListIssuesArgs) (frigg.Page[giteaapi.Issue], error) {
		return frigg.Page[giteaapi.Issue]{Items: w.issues[in.Repository]}, nil
	})
	friggtest.OnModule(w.Integration, gitea, giteaapi.CreateWebhook, func(in giteaapi.NewWebhook) (giteaapi.Webhook, error) {
		id := int64(len(w.hooks) + 1)
		w.hooks[id] = in
		return giteaapi.Webhook{ID: id}, nil
	})
	friggtest.OnModule(w.Integration, gitea, giteaapi.DeleteWebhook, func(in giteaapi.WebhookArgs) (frigg.None, error) {
		delete(w.hooks, in.ID)
		return frigg.None{}, nil
	})
}

func (w *world) addCustomer(id, name string) stripeapi.Customer {
	customer := stripeapi.Customer{ID: id, Name: name, Email: id + "@example.com", LiveMode: true}
	w.customers[id] = customer
	w.order = append(w.order, id)
	return customer
}

// tell delivers customer.created as Stripe does.
func (w *world) tell(event string, customer stripeapi.Customer) error {
	body := stripeapi.CustomerEvent{ID: event, Type: stripeapi.CustomerCreated}
	body.Data.Object = customer
	return w.Webhook(stripe, body.Type, event, body)
}

// turn closes or reopens an issue and delivers the webhook.
func (w *world) turn(t *testing.T, repository string, number int64, state, action string) {
	t.Helper()
	issue := &w.issues[repository][number-1]
	issue.State, issue.ClosedAt = state, nil
	if state == giteaapi.Closed {
		at := time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC)
		issue.ClosedAt = &at
	}
	event := giteaapi.IssueEvent{Action: action, Number: number, Issue: *issue, Repository: giteaapi.Repository{FullName: repository}}
	if err := w.Webhook(gitea, "issues", "delivery", event); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCustomer_OpensAnIssueLinkedBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.tell("evt_1", w.addCustomer("cus_1", "Ada Lovelace")))

	issues := w.issues["lab/crm"]
	if len(issues) != 1 || issues[0].Title != "Onboard Ada Lovelace" || issues[0].Labels[0].Name != "onboarding" {
		t.Fatalf("issues: %+v", issues)
	}
	if ref, _ := friggtest.Mapped[string](w.Integration, "customers", "cus_1"); ref != "lab/crm#1" {
		t.Errorf("customer leads to %q", ref)
	}
	if id, _ := friggtest.Mapped[string](w.Integration, "issues", "lab/crm#1"); id != "cus_1" {
		t.Errorf("issue leads to %q", id)
	}
	if _, waits := friggtest.Mapped[claim](w.Integration, "claims", "cus_1"); waits {
		t.Error("the claim stays behind")
	}
	want := map[string]string{"onboarding": "open", "onboarding_issue": "https://git.example/lab/crm/issues/1"}
	if diff := cmp.Diff(want, w.customers["cus_1"].Metadata); diff != "" {
		t.Error(diff)
	}
}

func TestCustomer_ToldTwiceOpensOneIssue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	customer := w.addCustomer("cus_1", "Ada")
	must(t, w.tell("evt_1", customer))
	must(t, w.tell("evt_1", customer)) // the same event again
	must(t, w.tell("evt_2", customer)) // the same fact under another id
	if n := len(w.issues["lab/crm"]); n != 1 {
		t.Errorf("%d issues", n)
	}
}

// Whatever host function the guest dies at, before or after it was done: the next try ends with one issue, linked and marked.
func TestCustomer_OpensOneIssueWhereverTheGuestDies(t *testing.T) {
	t.Parallel()
	points := newWorld(t)
	must(t, points.tell("evt_1", points.addCustomer("cus_1", "Ada")))
	if len(points.Calls) < 6 {
		t.Fatalf("only %v", points.Calls)
	}
	for i, function := range points.Calls {
		for name, kill := range map[string]func(*world, string){
			"before": func(w *world, f string) { w.KillBefore(f) },
			"after":  func(w *world, f string) { w.KillAfter(f) },
		} {
			t.Run(fmt.Sprintf("%s %d %s", name, i, function), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				for _, earlier := range points.Calls[:i] {
					if earlier == function {
						w.Pass(function)
					}
				}
				kill(w, function)
				if err := w.tell("evt_1", w.addCustomer("cus_1", "Ada")); !errors.Is(err, friggtest.ErrKilled) {
					t.Fatalf("survived: %v", err)
				}
				w.Configure(map[string]string{"repository": "lab/other"}) // must not matter where an issue exists
				must(t, w.Retry())
				if n := len(w.issues["lab/crm"]) + len(w.issues["lab/other"]); n != 1 {
					t.Errorf("%d issues", n)
				}
				ref, _ := friggtest.Mapped[string](w.Integration, "customers", "cus_1")
				if id, _ := friggtest.Mapped[string](w.Integration, "issues", ref); id != "cus_1" {
					t.Errorf("%q leads back to %q", ref, id)
				}
				if w.customers["cus_1"].Metadata["onboarding"] != "open" {
					t.Errorf("metadata: %v", w.customers["cus_1"].Metadata)
				}
			})
		}
	}
}

func TestCustomer_FailureOfGiteaIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Fail("module.call", frigg.Unavailable("Gitea does not answer"))
	err := w.tell("evt_1", w.addCustomer("cus_1", "Ada"))
	if fault, ok := errors.AsType[*frigg.Fault](err); !ok || fault.Kind != frigg.KindUnavailable || fault.Halt {
		t.Fatalf("%v", err)
	}
	must(t, w.Retry())
	if n := len(w.issues["lab/crm"]); n != 1 {
		t.Errorf("%d issues", n)
	}
}

func TestCustomer_TextCannotPoseAsAnotherCustomersIssue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.tell("evt_1", w.addCustomer("cus_2", "\n"+marker("cus_1")+"\n")))
	w.KillAfter("mapping.put") // the claim of cus_1 is noted, nothing more
	_ = w.tell("evt_2", w.addCustomer("cus_1", "Ada"))
	must(t, w.Retry())
	if n := len(w.issues["lab/crm"]); n != 2 {
		t.Errorf("%d issues", n)
	}
}

func TestIssue_ClosedAndReopenedIsWrittenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.tell("evt_1", w.addCustomer("cus_1", "Ada")))
	url := "https://git.example/lab/crm/issues/1"

	w.turn(t, "lab/crm", 1, giteaapi.Closed, "closed")
	want := map[string]string{"onboarding": "done", "onboarding_issue": url, "onboarding_closed_at": "2030-05-06T07:08:09Z"}
	if diff := cmp.Diff(want, w.customers["cus_1"].Metadata); diff != "" {
		t.Error(diff)
	}
	w.turn(t, "lab/crm", 1, giteaapi.Open, "reopened")
	want = map[string]string{"onboarding": "open", "onboarding_issue": url}
	if diff := cmp.Diff(want, w.customers["cus_1"].Metadata); diff != "" {
		t.Error(diff)
	}
	w.turn(t, "lab/crm", 1, giteaapi.Open, "closed") // arrives late: the issue is open again
	if diff := cmp.Diff(want, w.customers["cus_1"].Metadata); diff != "" {
		t.Error(diff)
	}
}

func TestIssue_OfSomebodyElseIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.issues["lab/crm"] = []giteaapi.Issue{{Number: 1}}
	w.turn(t, "lab/crm", 1, giteaapi.Closed, "closed")
	for _, call := range w.Calls {
		if call == "module.call" {
			t.Errorf("calls: %v", w.Calls)
		}
	}
}

func TestIssue_OfADeletedCustomerWarns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.tell("evt_1", w.addCustomer("cus_1", "Ada")))
	delete(w.customers, "cus_1")
	w.turn(t, "lab/crm", 1, giteaapi.Closed, "closed")
	if len(w.Messages) != 1 || !strings.Contains(w.Messages[0].Message, "cus_1") {
		t.Errorf("messages: %+v", w.Messages)
	}
}

func TestHook_FollowsTheRepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.Deliver("ON_CREATE", nil))
	must(t, w.Retry())
	if len(w.hooks) != 1 || w.hooks[1].Repository != "lab/crm" || w.hooks[1].Secret == "" || !strings.HasSuffix(w.hooks[1].URL, "/gitea") {
		t.Fatalf("hooks after create: %+v", w.hooks)
	}
	w.Configure(map[string]string{"repository": "lab/other"})
	must(t, w.Deliver("ON_UPDATE", nil))
	must(t, w.Deliver("ON_UPDATE", nil)) // nothing changed
	if len(w.hooks) != 1 || w.hooks[1].Repository != "lab/other" {
		t.Fatalf("hooks after update: %+v", w.hooks)
	}
	must(t, w.Deliver("ON_DELETE", nil))
	if len(w.hooks) != 0 || len(w.Storage) != 0 {
		t.Errorf("left behind: %+v, %v", w.hooks, w.Storage)
	}
}

func TestHook_DeletionDoesNotNeedRightsAtGitea(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.Deliver("ON_CREATE", nil))
	w.Fail("module.call", frigg.Errorf(frigg.KindUnauthorized, "the token was revoked"))
	must(t, w.Deliver("ON_DELETE", nil))
}

func TestHook_WaitsForARepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(struct{}{})
	must(t, w.Deliver("ON_CREATE", nil))
	if len(w.hooks) != 0 {
		t.Errorf("hooks: %+v", w.hooks)
	}
}

func TestConfigForm_OffersRepositoriesWithAdminRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	form, err := w.ConfigForm(nil)
	must(t, err)
	for text, wanted := range map[string]bool{
		`"lab/crm"`: true, `"lab/other"`: true, "somebody/else": false, "lab/old": false,
		`"format":"password"`: true, "https://frigg.test/hooks/int_test/stripe": true,
	} {
		if strings.Contains(string(form.JSONSchema), text) != wanted {
			t.Errorf("%s in the form should be %v: %s", text, wanted, form.JSONSchema)
		}
	}
}

func TestConfigForm_WorksBeforeThereIsAnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Fail("webhook.endpoint", frigg.NotFound("no such integration"))
	form, err := w.ConfigForm(nil)
	if err != nil || !strings.Contains(string(form.JSONSchema), "after it was saved") {
		t.Errorf("%s, %v", form.JSONSchema, err)
	}
}

func TestValidate_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for repository, want := range map[string]string{
		"lab/crm":       "",
		"":              "", // it may come later
		"lab/nowhere":   "there is no such repository",
		"somebody/else": "needs admin rights",
		"lab/old":       "archived",
	} {
		w := newWorld(t)
		w.Configure(map[string]string{"repository": repository})
		out, err := w.Validate()
		must(t, err)
		got := ""
		if len(out.Problems) > 0 {
			got = out.Problems[0].Message
		}
		if !strings.Contains(got, want) || (want == "") != (got == "") || out.Missing != (repository == "") {
			t.Errorf("%q: %+v", repository, out)
		}
	}
}

func TestValidate_OfWrongTypesIsAProblemNotAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(map[string]int{"repository": 5})
	out, err := w.Validate()
	if err != nil || len(out.Problems) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestSync_OpensWhatIsMissingOverAllPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.addCustomer(fmt.Sprintf("cus_%d", i), "Customer")
	}
	must(t, w.tell("evt_1", w.customers["cus_3"]))
	for range 2 { // the second finds nothing to do
		_, err := friggtest.Act[said](w.Integration, "SYNC_NOW", nil)
		must(t, err)
		_, err = w.Work()
		must(t, err)
	}
	if n := len(w.issues["lab/crm"]); n != 5 {
		t.Errorf("%d issues", n)
	}
}

func TestSync_MeetsADeletedCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.Deliver(string(openIssue), onlyThis{"cus_gone"}))
	if len(w.issues) != 0 {
		t.Errorf("issues: %+v", w.issues)
	}
}

func TestOpenForCustomer_WorksOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addCustomer("cus_1", "Ada")
	form, err := w.ActionForm("OPEN_ISSUE_FOR_CUSTOMER", nil)
	if err != nil || !strings.Contains(string(form.JSONSchema), `{"const":"cus_1","title":"Ada"}`) {
		t.Fatalf("%s, %v", form.JSONSchema, err)
	}
	for range 3 {
		_, err := friggtest.Act[said](w.Integration, "OPEN_ISSUE_FOR_CUSTOMER", onlyThis{"cus_1"})
		must(t, err)
	}
	if _, err := w.Work(); err != nil || len(w.issues["lab/crm"]) != 1 {
		t.Errorf("%+v, %v", w.issues, err)
	}
	again, err := friggtest.Act[said](w.Integration, "OPEN_ISSUE_FOR_CUSTOMER", onlyThis{"cus_1"})
	if err != nil || !strings.Contains(again.Message, "lab/crm#1") || len(w.Queue) != 0 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestSampleData_ShowsCustomersWithTheirIssues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.tell("evt_1", w.addCustomer("cus_1", "Ada")))
	w.addCustomer("cus_2", "Grace")
	rows, err := friggtest.Act[[]row](w.Integration, "GET_SAMPLE_DATA", nil)
	must(t, err)
	want := []row{{"cus_1", "Ada", "cus_1@example.com", "open", "lab/crm#1"}, {"cus_2", "Grace", "cus_2@example.com", "", ""}}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}
