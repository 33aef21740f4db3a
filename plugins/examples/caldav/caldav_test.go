package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/plugins/examples/caldav/caldavapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
)

func TestManifest_SaysWhatTheProgramDoes(t *testing.T) { friggtest.CheckManifest(t, "manifest.yaml") }

// multistatus answers every request with a fixed answer.
func multistatus(responses string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusMultiStatus)
		_, _ = io.WriteString(w, `<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">`+responses+`</d:multistatus>`)
	})
}

func connect(t *testing.T, vendor http.Handler) *friggtest.Module {
	m := friggtest.NewModule(t, vendor)
	m.Connection.Values = map[string]string{"base_url": "https://dav.example/remote.php", "username": "ada"}
	m.Connection.Details = []byte(`{"principal":"/remote.php/ada/","home":"/remote.php/ada/cal/"}`)
	return m
}

func TestTestAuth_RefusesAServerThatLetsAnybodyIn(t *testing.T) {
	m := connect(t, multistatus(`<d:response><d:href>/</d:href><d:propstat><d:prop><d:current-user-principal><d:unauthenticated/></d:current-user-principal></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>`))
	out, err := m.TestAuth()
	if err != nil || out.Outcome != "invalid" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestTestAuth_TellsRefusedFromDown(t *testing.T) {
	for status, want := range map[int]string{http.StatusUnauthorized: "invalid", http.StatusBadGateway: "unavailable"} {
		m := connect(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		if out, err := m.TestAuth(); err != nil || string(out.Outcome) != want {
			t.Errorf("%d: %+v, %v", status, out, err)
		}
	}
}

func TestListCalendars_LeavesOutWhatIsNone(t *testing.T) {
	m := connect(t, multistatus(`
		<d:response><d:href>/remote.php/ada/cal/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>
		<d:response><d:href>/remote.php/ada/cal/tasks/</d:href><d:propstat><d:prop><d:displayname>Work</d:displayname><d:resourcetype><d:collection/><c:calendar/></d:resourcetype>
			<c:supported-calendar-component-set><c:comp name="VEVENT"/></c:supported-calendar-component-set></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>
			<d:propstat><d:prop><d:displayname>not found</d:displayname></d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>`))
	page, err := friggtest.Call(m, caldavapi.ListCalendars, frigg.None{})
	want := []caldavapi.Calendar{{Path: "/remote.php/ada/cal/tasks/", Name: "Work"}}
	if diff := cmp.Diff(want, page.Items); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestRequests_GoToTheServersPathsNotBelowTheBase(t *testing.T) {
	var asked, ifMatch, ifNoneMatch []string
	m := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String())
		ifMatch, ifNoneMatch = append(ifMatch, r.Header.Get("If-Match")), append(ifNoneMatch, r.Header.Get("If-None-Match"))
		w.Header().Set("ETag", `"1"`)
		w.WriteHeader(http.StatusCreated)
	}))
	for _, etag := range []string{"", `"0"`} {
		_, err := friggtest.Call(m, caldavapi.PutTodo, caldavapi.TodoChange{Calendar: "/remote.php/ada/cal/tasks/", UID: "a/b", ETag: etag, Summary: "s"})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "PUT https://dav.example/remote.php/ada/cal/tasks/a%2Fb.ics"
	if diff := cmp.Diff([]string{want, want}, asked); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"", `"0"`}, ifMatch); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"*", ""}, ifNoneMatch); diff != "" {
		t.Error(diff)
	}
}

func TestPutTodo_RefusesWhatCannotBe(t *testing.T) {
	for name, in := range map[string]caldavapi.TodoChange{
		"no uid":      {Calendar: "/a/"},
		"no calendar": {UID: "u"},
		"the server":  {Calendar: "/", UID: "u"},
		"another":     {Calendar: "https://elsewhere.example/a/", UID: "u"},
		"no day":      {Calendar: "/a/", UID: "u", Due: "tomorrow"},
	} {
		if _, err := friggtest.Call(connect(t, nil), caldavapi.PutTodo, in); !frigg.Is(err, frigg.KindInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTodo_SurvivesWritingAndReading(t *testing.T) {
	for _, in := range []caldavapi.TodoChange{
		{UID: "1", Summary: "plain"},
		{UID: "2", Summary: `comma, semicolon; back\slash \n colon:`, Description: "two\nlines", Due: "2030-01-31"},
		{UID: "3", Summary: strings.Repeat("ä€😀", 60), Done: true},
		{UID: "4", Summary: "BEGIN:VTODO\r\nEND:VTODO", Description: strings.Repeat("x", 300)},
	} {
		text := writeTodo(in)
		for line := range strings.SplitSeq(text, "\r\n") {
			if len(line) > 75 {
				t.Errorf("%s: a line of %d bytes", in.UID, len(line))
			}
		}
		out, ok := parseTodo(text)
		want := caldavapi.Todo{UID: in.UID, Summary: strings.ReplaceAll(in.Summary, "\r\n", "\n"), Description: in.Description, Due: in.Due, Done: in.Done}
		if diff := cmp.Diff(want, out); diff != "" || !ok {
			t.Errorf("%s: %v %s", in.UID, ok, diff)
		}
	}
}

func TestParseTodo_ReadsWhatOtherProgramsWrite(t *testing.T) {
	text := "BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nEND:VTIMEZONE\nBEGIN:VTODO\nuid:x\nSUMMARY;LANGUAGE=\"a:b\":Hel\n lo\n" +
		"DUE;TZID=Europe/Berlin:20300131T120000\nBEGIN:VALARM\nSUMMARY:alarm\nEND:VALARM\nSTATUS:completed\nEND:VTODO\nEND:VCALENDAR\n"
	todo, ok := parseTodo(text)
	want := caldavapi.Todo{UID: "x", Summary: "Hello", Due: "2030-01-31", Done: true}
	if diff := cmp.Diff(want, todo); diff != "" || !ok {
		t.Errorf("%v %s", ok, diff)
	}
	if _, ok := parseTodo("BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VEVENT\nEND:VCALENDAR"); ok {
		t.Error("an event is taken for a to-do")
	}
}

func FuzzParseTodo(f *testing.F) {
	f.Add("BEGIN:VTODO\nSUMMARY:x\nDUE:2030\nEND:VTODO")
	f.Add("BEGIN:VTODO\nBEGIN:VALARM\nDUE;\":x\n:\n ;")
	f.Fuzz(func(t *testing.T, text string) {
		if todo, ok := parseTodo(text); !ok && todo != (caldavapi.Todo{}) {
			t.Errorf("fields of no to-do: %+v", todo)
		}
	})
}
