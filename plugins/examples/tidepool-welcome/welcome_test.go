package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/examples/tidepool/tidepoolapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
)

func TestManifest_SaysWhatTheProgramDoes(t *testing.T) { friggtest.CheckManifest(t, "manifest.yaml") }

// world is a Tidepool account as its module shows it. Keys are recognised as Tidepool does: the same again, or a conflict.
type world struct {
	*friggtest.Integration
	contacts []tidepoolapi.Contact
	tasks    map[string]tidepoolapi.NewTask // by key
	notes    map[string]tidepoolapi.NewNote // by key
	hooks    []tidepoolapi.NewWebhook
}

func newWorld(t *testing.T, config any) *world {
	w := &world{Integration: friggtest.NewIntegration(t, config), tasks: map[string]tidepoolapi.NewTask{}, notes: map[string]tidepoolapi.NewNote{}}
	friggtest.OnModule(w.Integration, crm, tidepoolapi.GetContact, func(in tidepoolapi.ContactArgs) (tidepoolapi.Contact, error) {
		for _, contact := range w.contacts {
			if contact.ID == in.ID {
				return contact, nil
			}
		}
		return tidepoolapi.Contact{}, frigg.NotFound("There is no such contact.")
	})
	friggtest.OnModule(w.Integration, crm, tidepoolapi.ListContacts, func(in tidepoolapi.ListArgs) (frigg.Page[tidepoolapi.Contact], error) {
		first := 0
		_, _ = fmt.Sscan(in.Cursor, &first)
		end := min(first+2, len(w.contacts)) // a small page, whatever the limit
		page := frigg.Page[tidepoolapi.Contact]{Items: w.contacts[first:end]}
		if end < len(w.contacts) {
			page.Next = fmt.Sprint(end)
		}
		return page, nil
	})
	friggtest.OnModule(w.Integration, crm, tidepoolapi.CreateTask, func(in tidepoolapi.NewTask) (tidepoolapi.Task, error) {
		if before, ok := w.tasks[in.Key]; ok && before != in {
			return tidepoolapi.Task{}, frigg.Conflict("This Idempotency-Key came with another body before.")
		}
		if !w.has(in.ContactID) {
			return tidepoolapi.Task{}, frigg.Invalid("contact_id: no such contact")
		}
		w.tasks[in.Key] = in
		return tidepoolapi.Task{ID: "task of " + in.Key}, nil
	})
	friggtest.OnModule(w.Integration, crm, tidepoolapi.CreateNote, func(in tidepoolapi.NewNote) (tidepoolapi.Note, error) {
		if before, ok := w.notes[in.Key]; ok && before != in {
			return tidepoolapi.Note{}, frigg.Conflict("This Idempotency-Key came with another body before.")
		}
		w.notes[in.Key] = in
		return tidepoolapi.Note{ID: "note of " + in.Key}, nil
	})
	friggtest.OnModule(w.Integration, crm, tidepoolapi.CreateWebhook, func(in tidepoolapi.NewWebhook) (tidepoolapi.Webhook, error) {
		w.hooks = append(w.hooks, in)
		return tidepoolapi.Webhook{ID: "wh_1"}, nil
	})
	friggtest.OnModule(w.Integration, crm, tidepoolapi.DeleteWebhook, func(in tidepoolapi.WebhookArgs) (frigg.None, error) {
		if in.ID == "wh_1" {
			w.hooks = nil
		}
		return frigg.None{}, nil
	})
	return w
}

func (w *world) has(id string) bool {
	for _, contact := range w.contacts {
		if contact.ID == id {
			return true
		}
	}
	return false
}

func (w *world) add(id, name string) tidepoolapi.Contact {
	contact := tidepoolapi.Contact{ID: id, Name: name, Company: "Acme"}
	w.contacts = append(w.contacts, contact)
	return contact
}

func (w *world) tell(contact tidepoolapi.Contact) error {
	return w.Webhook(webhook, tidepoolapi.ContactCreated, "msg_1", tidepoolapi.Event[tidepoolapi.Contact]{Type: tidepoolapi.ContactCreated, Data: contact})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestContact_GetsATaskAndANoteOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]any{"task_title": "Call {name} of {company}", "days_until_due": 0})
	ada := w.add("con_1", "Ada")
	must(t, w.tell(ada))
	must(t, w.tell(ada))
	today := time.Now().UTC().Format(time.DateOnly)
	want := map[string]tidepoolapi.NewTask{"welcome-con_1": {Title: "Call Ada of Acme", ContactID: "con_1", DueOn: today, Key: "welcome-con_1"}}
	if diff := cmp.Diff(want, w.tasks); diff != "" {
		t.Error(diff)
	}
	if n := w.notes["welcome-note-con_1"]; len(w.notes) != 1 || !strings.Contains(n.Body, "Call Ada of Acme") {
		t.Errorf("notes: %+v", w.notes)
	}
	if p, _ := friggtest.Mapped[promise](w.Integration, "welcomes", "con_1"); p.ID != "task of welcome-con_1" {
		t.Errorf("mapped to %+v", p)
	}
}

func TestContact_IsWelcomedOnceWhereverTheGuestDies(t *testing.T) {
	t.Parallel()
	points := newWorld(t, struct{}{})
	must(t, points.tell(points.add("con_1", "Ada")))
	for i, function := range points.Calls {
		for name, kill := range map[string]func(*world, string){
			"before": func(w *world, f string) { w.KillBefore(f) },
			"after":  func(w *world, f string) { w.KillAfter(f) },
		} {
			t.Run(fmt.Sprintf("%s %d %s", name, i, function), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, struct{}{})
				for _, earlier := range points.Calls[:i] {
					if earlier == function {
						w.Pass(function)
					}
				}
				kill(w, function)
				if err := w.tell(w.add("con_1", "Ada")); !errors.Is(err, friggtest.ErrKilled) {
					t.Fatalf("survived: %v", err)
				}
				w.Configure(map[string]any{"task_title": "Changed meanwhile", "days_until_due": 99})
				must(t, w.Retry())
				p, _ := friggtest.Mapped[promise](w.Integration, "welcomes", "con_1")
				if len(w.tasks) != 1 || len(w.notes) != 1 || p.ID == "" {
					t.Errorf("%d tasks, %d notes, %+v", len(w.tasks), len(w.notes), p)
				}
			})
		}
	}
}

func TestContact_DeletedMeanwhileIsDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, struct{}{})
	must(t, w.tell(tidepoolapi.Contact{ID: "con_gone", Name: "Ada"}))
	if len(w.tasks) != 0 {
		t.Errorf("tasks: %+v", w.tasks)
	}
}

func TestContact_LongNamesFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]any{"task_title": strings.Repeat("x", 150) + " {name}"})
	must(t, w.tell(w.add("con_1", strings.Repeat("é", 200))))
	if n := len([]rune(w.tasks["welcome-con_1"].Title)); n != 200 {
		t.Errorf("%d characters", n)
	}
}

func TestDeal_WonGetsAThankYouTaskOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, struct{}{})
	w.add("con_1", "Ada")
	event := tidepoolapi.Event[tidepoolapi.Deal]{Type: tidepoolapi.DealWon, Data: tidepoolapi.Deal{ID: "deal_1", Title: "100 engines", ContactID: "con_1"}}
	must(t, w.Webhook(webhook, tidepoolapi.DealWon, "msg_1", event))
	must(t, w.Webhook(webhook, tidepoolapi.DealWon, "msg_2", event))
	want := map[string]tidepoolapi.NewTask{"thanks-deal_1": {Title: "Say thank you for 100 engines", ContactID: "con_1", DealID: "deal_1", Key: "thanks-deal_1"}}
	if diff := cmp.Diff(want, w.tasks); diff != "" {
		t.Error(diff)
	}
}

func TestOtherEvents_AreDoneAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, struct{}{})
	must(t, w.Webhook(webhook, "contact.updated", "msg_1", map[string]any{"data": []int{1}}))
}

func TestHook_IsMadeAndRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, struct{}{})
	must(t, w.Deliver("ON_CREATE", nil))
	if len(w.hooks) != 1 || w.hooks[0].Secret == "" || w.hooks[0].URL == "" {
		t.Fatalf("hooks: %+v", w.hooks)
	}
	must(t, w.Deliver("ON_UPDATE", nil))
	must(t, w.Deliver("ON_DELETE", nil))
	if len(w.hooks) != 0 {
		t.Errorf("hooks: %+v", w.hooks)
	}
}

func TestSync_WelcomesEverybodyOverAllPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, struct{}{})
	for i := range 5 {
		w.add(fmt.Sprintf("con_%d", i), "Somebody")
	}
	must(t, w.tell(w.contacts[3]))
	for range 2 { // the second finds nothing to do
		_, err := friggtest.Act[said](w.Integration, "SYNC_NOW", nil)
		must(t, err)
		_, err = w.Work()
		must(t, err)
	}
	if len(w.tasks) != 5 || len(w.notes) != 5 {
		t.Errorf("%d tasks, %d notes", len(w.tasks), len(w.notes))
	}
}

func TestSampleData_ShowsContactsWithTheirTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, struct{}{})
	must(t, w.tell(w.add("con_1", "Ada")))
	w.add("con_2", "Grace")
	rows, err := friggtest.Act[[]row](w.Integration, "GET_SAMPLE_DATA", nil)
	must(t, err)
	want := []row{{"Ada", "Acme", "", "task of welcome-con_1"}, {"Grace", "Acme", "", ""}}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}

func TestPreview_NeedsNoAccount(t *testing.T) {
	w := newWorld(t, nil)
	for body, want := range map[string]string{
		`{"name":"Ada"}`: `{"title":"Welcome Ada"}`,
		`{"task_title":"Hi {name} of {company}","name":"Ada","company":"Engines"}`: `{"title":"Hi Ada of Engines"}`,
	} {
		reply, err := w.Route("POST /preview", abi.RouteInput{Text: body})
		if err != nil || reply.Text != want || len(w.Calls) > 0 {
			t.Errorf("%s: %+v, %v after %v", body, reply, err, w.Calls)
		}
	}
}

func TestContact_SaysWhetherItWasWelcomed(t *testing.T) {
	w := newWorld(t, nil)
	w.contacts = []tidepoolapi.Contact{{ID: "con_1", Name: "Ada"}, {ID: "con_2", Name: "Bob"}}
	if err := w.Webhook(webhook, tidepoolapi.ContactCreated, "1", tidepoolapi.Event[tidepoolapi.Contact]{Data: w.contacts[0]}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"con_1": `{"name":"Ada","welcomed":true,"task":"Welcome Ada"}`, "con_2": `{"name":"Bob","welcomed":false}`} {
		reply, err := w.Route("GET /:integrationId/contacts/:contact", abi.RouteInput{Params: map[string]string{"contact": id}})
		if err != nil || reply.Text != want {
			t.Errorf("%s: %+v, %v", id, reply, err)
		}
	}
	if _, err := w.Route("GET /:integrationId/contacts/:contact", abi.RouteInput{Params: map[string]string{"contact": "none"}}); !frigg.Is(err, frigg.KindNotFound) {
		t.Errorf("an unknown contact: %v", err)
	}
}
