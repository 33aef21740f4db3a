package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/api"
)

// transcript keeps requests and answers in the order of a life, with ids and addresses that do not change from run to run.
type transcript struct {
	*house
	text  bytes.Buffer
	token string
	names map[string]string
}

var changing = regexp.MustCompile(`(usr|cred|ent|int|job|sch)_[0-9a-f-]{36}|fht_[A-Za-z0-9_-]{43}|(state|code_challenge)=[A-Za-z0-9_-]{43}|"state":"[A-Za-z0-9_-]{43}"|http://127\.0\.0\.1:\d+|127\.0\.0\.1%3A\d+`)

func (l *transcript) steady(text string) string {
	return changing.ReplaceAllStringFunc(text, func(found string) string {
		kind, _, _ := strings.Cut(strings.NewReplacer("http://", "VENDOR_", "127", "VENDOR_").Replace(found), "_")
		if name, _, ok := strings.Cut(found, "="); ok {
			return name + "=..."
		}
		if strings.HasPrefix(found, `"state"`) {
			return `"state":"..."`
		}
		if l.names[found] == "" {
			n := 1
			for _, name := range l.names {
				if strings.HasPrefix(name, kind+"_") {
					n++
				}
			}
			l.names[found] = fmt.Sprintf("%s_%d", kind, n)
		}
		return l.names[found]
	})
}

// does sends a request and writes it down with its answer, which it returns.
func (l *transcript) does(method, path, body string) *httptest.ResponseRecorder {
	l.t.Helper()
	res := send(l.t, l, method, path, body, bearer(l.token))
	fmt.Fprintf(&l.text, "%s %s\n", method, l.steady(path))
	if body != "" {
		fmt.Fprintf(&l.text, "%s\n", l.steady(body))
	}
	fmt.Fprintf(&l.text, "-> %d\n", res.Code)
	if to := res.Header().Get("Location"); to != "" {
		fmt.Fprintf(&l.text, "Location: %s\n", l.steady(to))
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, res.Body.Bytes(), "", "  ") == nil {
		l.text.WriteString(strings.TrimSpace(l.steady(pretty.String())) + "\n")
	}
	l.text.WriteString("\n")
	return res
}

func decoded[T any](t *testing.T, res *httptest.ResponseRecorder) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(res.Body.Bytes(), &out); err != nil {
		t.Fatalf("%v: %s", err, res.Body)
	}
	return out
}

// TestLife_InFriggsOrder plays what a client written for Frigg does, and pins the shape of every answer.
func TestLife_InFriggsOrder(t *testing.T) {
	t.Parallel()
	l := &transcript{house: newHouse(t), names: map[string]string{}}

	// users
	l.does("POST", "/user/create", `{"username":"ada"}`)
	l.does("POST", "/user/create", `{}`)
	l.does("POST", "/user/create", `{"username":"ada","password":"correct horse battery staple"}`)
	l.does("POST", "/user/create", `{"username":"ada","password":"correct horse battery staple"}`)
	l.does("POST", "/user/login", `{"username":"ada","password":"wrong"}`)
	l.does("POST", "/user/login", `{"username":"nobody","password":"wrong"}`)
	l.does("GET", "/api/integrations", "")
	l.token = decoded[api.Token](t, l.does("POST", "/user/login", `{"username":"ada","password":"correct horse battery staple"}`)).Token

	// what there is
	l.does("GET", "/api/integrations", "")
	l.does("GET", "/api/integrations/options", "")

	// an account by form; Frigg's clients name the integration
	l.does("GET", "/api/authorize", "")
	l.does("GET", "/api/authorize?entityType=nothing", "")
	l.does("GET", "/api/authorize?entityType=box-to-hub&connectingEntityType=hub", "")
	l.does("POST", "/api/authorize", `{"entityType":"box-to-hub"}`)
	l.does("POST", "/api/authorize", `{"entityType":"box-to-hub","data":{"key":"wrong"}}`)
	box := decoded[api.Authorization](t, l.does("POST", "/api/authorize", `{"entityType":"box-to-hub","data":{"key":"`+vendorKey+`"}}`))

	// an account by redirect
	need := decoded[api.Requirements](t, l.does("GET", "/api/authorize?entityType=hub", ""))
	there, err := url.Parse(need.URL)
	if err != nil {
		t.Fatal(err)
	}
	callback := "code=vendor-code&state=" + there.Query().Get("state")
	if to := l.does("GET", "/redirect/hub?"+callback, "").Header().Get("Location"); to != "https://app.example.com/redirect/hub?"+callback {
		t.Errorf("sent on to %s", to)
	}
	data := fmt.Sprintf(`{"entityType":"hub","data":{"code":"vendor-code","state":%q}}`, there.Query().Get("state"))
	hub := decoded[api.Authorization](t, l.does("POST", "/api/authorize", data))
	l.does("POST", "/api/authorize", data) // a code is good once

	// an account that the person chooses
	many := decoded[api.Authorization](t, l.does("POST", "/api/authorize", `{"entityType":"many","data":{"username":"ada","password":"`+vendorKey+`"}}`))
	l.does("GET", "/api/entity/options/"+string(many.CredentialID), "")
	l.does("GET", "/api/entity/options/"+string(many.CredentialID)+"?entityType=many", "")
	l.does("POST", "/api/entity", `{"entityType":"many","data":{}}`)
	l.does("POST", "/api/entity", fmt.Sprintf(`{"entityType":"many","data":{"credential_id":%q,"external_id":"t2"}}`, many.CredentialID))

	// accounts
	entity := "/api/entities/" + string(box.EntityID)
	l.does("GET", entity, "")
	l.does("GET", entity+"/test-auth", "")
	l.does("POST", entity+"/options", "")
	l.does("POST", entity+"/options/refresh", `{"team":"red"}`)

	// an integration
	l.does("POST", "/api/integrations", `{}`)
	l.does("POST", "/api/integrations", `{"entities":[],"config":{}}`)
	made := decoded[made](t, l.does("POST", "/api/integrations", fmt.Sprintf(`{"entities":[%q,%q],"config":{"type":"box-to-hub"}}`, box.EntityID, hub.EntityID)))
	l.work()
	record := "/api/integrations/" + string(made.ID)
	l.does("GET", record, "")
	l.does("GET", record+"/config/options", "")
	l.does("POST", record+"/config/options/refresh", `{"folder":"in"}`)
	l.does("PATCH", record, `{}`)
	l.does("PATCH", record, `{"config":{"folder":17}}`)
	l.does("PATCH", record, `{"config":{"folder":"in","inbox_webhook_secret":"hook-key"}}`)
	l.does("GET", record+"/test-auth", "")

	// actions
	l.does("GET", record+"/actions", "")
	l.does("POST", record+"/actions", `{"actionType":"QUICK_ACTION"}`)
	l.does("GET", record+"/actions?actionType=SOMETHING", "")
	l.does("GET", record+"/actions/SYNC_NOW/options", "")
	l.does("PUT", record+"/actions/CLEAR/options", "")
	l.does("POST", record+"/actions/SYNC_NOW/options/refresh", `{"since":"yesterday"}`)
	l.does("POST", record+"/actions/SYNC_NOW", `{"since":"yesterday"}`)
	l.does("POST", record+"/actions/UNKNOWN", `{}`)
	l.does("GET", "/api/demo/sample/"+string(made.ID), "")

	// a webhook, and its work
	hook := "/api/box-to-hub-integration/webhooks/" + string(made.ID)
	l.does("POST", hook, `{"what":"happened"}`)
	l.does("POST", hook+"?key=hook-key", `{"what":"happened"}`)
	l.does("POST", hook+"/inbox?key=hook-key", `{"what":"happened next"}`)
	l.does("POST", hook+"/outbox?key=hook-key", `{"what":"happened next"}`)
	l.work()
	jobs := decoded[api.JobList](t, l.does("GET", "/api/jobs?state=done&limit=1", ""))
	l.does("POST", "/api/jobs/"+string(jobs.Jobs[0].ID)+"/replay", "")
	l.does("POST", "/api/jobs/"+string(jobs.Jobs[0].ID)+"/cancel", "")
	l.does("GET", "/api/jobs?lane="+string(made.ID)+"&kind=integration.deliver&limit=1", "")
	l.does("GET", "/api/jobs?state=broken", "")
	l.does("GET", "/api/jobs?limit=many", "")

	// schedules
	first := l.schedule(l.token, made.ID, abi.SchedulePut{Name: "nightly", Event: "NIGHTLY", Cron: "0 3 * * *", TimeZone: "Europe/Berlin"})
	l.schedule(l.token, made.ID, abi.SchedulePut{Name: "reminder", Event: "REMIND", AtMS: 1767452645000})
	nightly := "/api/v2/schedules/" + string(first)
	l.does("GET", "/api/v2/schedules", "")
	l.does("POST", nightly+"/pause", "")
	l.does("POST", nightly+"/resume", "")
	l.does("POST", "/api/v2/schedules/sch_none/pause", "")
	l.does("GET", "/api/v2/schedules?limit=1&after="+string(first), "")
	l.does("GET", "/api/v2/schedules?limit=1000", "")

	// pause, resume, remove
	l.does("PATCH", record, `{"status":"DISABLED"}`)
	l.does("POST", record+"/actions/SYNC_NOW", `{}`)
	l.does("PATCH", record, `{"status":"ENABLED"}`)
	l.does("PATCH", record, `{"status":"BETTER"}`)
	l.does("GET", "/api/integrations", "")
	l.does("DELETE", entity, "")
	l.does("DELETE", record, "")
	l.work()
	l.does("GET", record, "")
	l.does("DELETE", entity, "")
	l.does("DELETE", "/api/credentials/"+string(hub.CredentialID), "")
	l.does("DELETE", "/api/credentials/"+string(hub.CredentialID), "")
	l.does("GET", "/api/integrations", "")

	if strings.Contains(l.log.String(), "level=ERROR") {
		t.Errorf("something failed:\n%s", l.log)
	}
	golden(t, "life.golden.txt", l.text.Bytes())
	for _, planted := range []string{vendorKey, vendorToken, "hook-key", "correct horse", "vendor-code", l.token} {
		if strings.Contains(l.log.String(), planted) {
			t.Errorf("the log has %s:\n%s", planted, l.log)
		}
	}
	answers := l.text.String()
	for _, planted := range []string{vendorToken} {
		if strings.Contains(answers, planted) {
			t.Errorf("an answer has %s", planted)
		}
	}
}
