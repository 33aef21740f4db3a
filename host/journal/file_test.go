package journal_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// exported is a file of a run that did this.
func exported(t *testing.T, input string, asks ...ask) (*rig, *journal.Service, *journal.File) {
	t.Helper()
	r := newRig(t)
	s := r.record(&played{asks: asks, output: `{"value":{"email":"ada@example.com"}}`}, old, input, job.Dead)
	f, err := s.Export(t.Context(), actor, r.id, false)
	check(t, err)
	return r, s, f
}

func written(t *testing.T, f *journal.File) []byte {
	t.Helper()
	var b bytes.Buffer
	check(t, f.Write(&b))
	return b.Bytes()
}

func unzipped(t *testing.T, b []byte) string {
	t.Helper()
	in, err := gzip.NewReader(bytes.NewReader(b))
	check(t, err)
	text, err := io.ReadAll(in)
	check(t, err)
	return string(text)
}

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.Bytes()
}

var sameFile = cmp.Options{cmpopts.IgnoreUnexported(journal.Try{}), cmpopts.EquateEmpty()}

func TestFile_KeepsEveryByteAndLeavesTheKeyOfHandles(t *testing.T) {
	t.Parallel()
	_, _, f := exported(t, `{"data":"<&>`+"\u2028"+`"}`, append(told(), ask{"storage", "get", "\xff\x00 not UTF-8", 0})...)
	packed := written(t, f)
	if text := unzipped(t, packed); strings.Contains(text, "sealed") || strings.Contains(text, string(owner)) || !strings.Contains(text, "/contacts/7") {
		t.Errorf("the file has what must stay here, or nothing:\n%s", text)
	}
	got, err := journal.Read(bytes.NewReader(packed))
	check(t, err)
	f.Log.Tries[0].Start.Handles = ""
	if diff := cmp.Diff(f, got, sameFile); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(packed, written(t, got)) {
		t.Error("the same file is written otherwise")
	}
}

func TestMask_HidesValuesAndKeepsThemEqual(t *testing.T) {
	t.Parallel()
	_, _, f := exported(t, `{"data":{"Email":"ada@example.com","phone":4912345678,"name":"Ada \"Countess\" Lovelace","contact":{"vat":"DE 123"},"body":"{\"email\":\"bob@example.com\"}"}}`,
		ask{"http", "send", `{"url":"/contacts?q=ada%40example.com&n=Ada%20%22Countess%22%20Lovelace","json":{"to":"bob@example.com","vat":"DE 123"}}`, 0},
		ask{"http", "send", `{"method":"POST","url":"/x","form":[{"name":"email","value":"eve@example.com"},{"name":"ok","value":"stays"}]}`, 0},
		ask{"http", "send", `not JSON about ada@example.com`, 0},
	)
	check(t, f.Mask([]string{"email", "phone", "name", "/data/contact/vat"}))
	text := unzipped(t, written(t, f))
	for _, personal := range []string{"ada@example.com", "ada%40", `"key":"frigg-`, "bob@example", "eve@example", "4912345678", "Countess", "DE 123"} {
		if strings.Contains(text, personal) {
			t.Errorf("%s is in the file:\n%s", personal, text)
		}
	}
	if !strings.Contains(text, `"masked":["email"`) || !strings.Contains(text, "stays") || !strings.Contains(text, "/contacts?q=masked-") {
		t.Errorf("the file:\n%s", text)
	}
	got, err := journal.Read(bytes.NewReader(written(t, f)))
	check(t, err)
	try := got.Log.Last()
	var in struct {
		Data struct {
			Email string
			Phone int64
		}
	}
	check(t, json.Unmarshal(try.Start.Input, &in))
	if !strings.Contains(string(try.Entries[2].Request), in.Data.Email) || !strings.HasSuffix(in.Data.Email, "@masked.invalid") || in.Data.Phone < 1e9 {
		t.Errorf("%+v is not what is in %s", in, try.Entries[2].Request)
	}
	if len(try.Start.Masked) != 4 || try.End.Sum == "" || strings.Contains(string(try.End.Output), "ada") {
		t.Errorf("%+v %+v", try.Start, try.End)
	}
	if err := f.Mask([]string{" "}); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}

// TestRead_RefusesWhatNobodyWrote: a file may come from anybody.
func TestRead_RefusesWhatNobodyWrote(t *testing.T) {
	t.Parallel()
	_, _, f := exported(t, `{}`, told()...)
	packed := written(t, f)
	good := unzipped(t, packed)
	lines := strings.SplitAfter(good, "\n")
	for name, c := range map[string]struct {
		file []byte
		kind fault.Kind
	}{
		"nothing":            {nil, fault.Invalid},
		"no gzip":            {[]byte(good), fault.Invalid},
		"cut":                {packed[:len(packed)-9], fault.Invalid},
		"another format":     {zipped(strings.Replace(good, "frigg-run", "other", 1)), fault.Invalid},
		"a newer version":    {zipped(strings.Replace(good, `"version":1`, `"version":2`, 1)), fault.Unsupported},
		"no try":             {zipped(lines[0]), fault.Invalid},
		"an answer too many": {zipped(good + lines[2]), fault.Invalid},
		"no start":           {zipped(lines[0] + lines[2]), fault.Invalid},
		"no path":            {zipped(strings.Replace(good, `"path":"1"`, `"path":"1..x"`, 1)), fault.Invalid},
		"no digest":          {zipped(strings.Replace(good, `"digest":"sha256:`, `"digest":"../`, 2)), fault.Invalid},
		"no known kind":      {zipped(strings.Replace(good, `"kind":"answer"`, `"kind":"sing"`, 1)), fault.Invalid},
		"a reopening":        {zipped(good + `{"kind":"reopen"}`), fault.Invalid},
		"a void end":         {zipped(good + `{"kind":"end"}`), fault.Invalid},
		"a void decision":    {zipped(good + `{"kind":"decide","path":"1"}`), fault.Invalid},
		"another module":     {zipped(good + `{"kind":"module","digest":"sha256:00","answer":"x"}`), fault.Invalid},
		"a bomb":             {zipped(lines[0] + `{"kind":"` + strings.Repeat(" ", 300<<20)), fault.TooLarge},
		"too many lines":     {zipped(lines[0] + lines[1] + strings.Repeat(`{"kind":"pin","path":"1"}`, 200_000)), fault.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if raceDetector && name == "a bomb" {
				t.Skip("it takes too long")
			}
			if _, err := journal.Read(bytes.NewReader(c.file)); !fault.Is(err, c.kind) {
				t.Errorf("%v, want %s", err, c.kind)
			}
		})
	}
}

// TestImport_IsForLookingAtOnly: an imported run is found by an operator, belongs to nobody and is over.
func TestImport_IsForLookingAtOnly(t *testing.T) {
	t.Parallel()
	_, _, f := exported(t, `{}`, told()...)
	here := newRig(t)
	s := &journal.Service{Store: here.db, Now: func() time.Time { return here.now }}
	f.Run.ID = "job_none"
	if _, err := s.Import(t.Context(), f); !fault.Is(err, fault.Invalid) {
		t.Errorf("an id that is none: %v", err)
	}
	f.Run.ID, f.Run.State = "job_"+uuid.NewString(), "running"
	run, err := s.Import(t.Context(), f)
	check(t, err)
	if run.State != job.Canceled || run.Owner != journal.Imported {
		t.Errorf("%+v", run)
	}
	if _, err := s.Import(t.Context(), f); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := s.Run(t.Context(), actor, run.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("somebody else's: %v", err)
	}
	found, err := s.Any(t.Context(), run.ID)
	check(t, err)
	log, err := s.Log(t.Context(), account.Actor{User: "operator", Owner: found.Owner}, run.ID)
	check(t, err)
	if diff := cmp.Diff(f.Log, log, sameFile, cmpopts.IgnoreFields(journal.Start{}, "Handles")); diff != "" || found.Plugin != "flow" || found.Entries != 3 {
		t.Errorf("%+v %s", found, diff)
	}
	jobs, err := here.db.ClaimJobs(t.Context(), "w", here.now, here.now, 10)
	check(t, err)
	if len(jobs) != 1 || jobs[0].ID != here.id {
		t.Errorf("%+v is due", jobs)
	}
}

// FuzzRead: what is read can be written and read again.
func FuzzRead(f *testing.F) {
	start := `{"format":"frigg-run","version":1,"run":{"id":"job_1","event":"E","state":"done"},"plugins":[]}
{"kind":"begin","start":{"at":"2026-05-06T07:08:09Z","plugin":"flow","digest":"` + string(plugin.DigestOf(nil)) + `","export":"frigg_handle_event","seed":[]},"request":"{}"}
`
	f.Add(start)
	f.Add(start + `{"kind":"intent","path":"1","capability":"http","function":"send","class":"remote","key":"k","request":{"base64":"/w=="}}
{"kind":"decide","path":"1","decision":{"choice":"resend","by":"ada"}}
{"kind":"sleep","path":"2","capability":"sleep","until":"2026-05-06T07:08:09Z"}
{"kind":"end","end":{"fault":{"kind":"internal","side":"guest","message":"m"}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := journal.Read(bytes.NewReader(zipped(text)))
		if err != nil {
			return
		}
		again, err := journal.Read(bytes.NewReader(written(t, got)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again, sameFile); diff != "" {
			t.Error(diff)
		}
		_ = got.Mask([]string{"a", "/b"})
	})
}
