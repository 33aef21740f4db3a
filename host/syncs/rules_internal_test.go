package syncs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

func TestNext_SaysWhatFollows(t *testing.T) {
	t.Parallel()
	one := abi.Sync{Name: "s", Parallel: 1, MaxFailures: 10}
	both := abi.Sync{Name: "s", Parallel: 3, MaxFailures: 10, Match: []string{"email"}, Direction: abi.SyncDirectionTwoWay}
	for name, test := range map[string]struct {
		run   Run
		again bool
		want  Move
	}{
		"over":                                {Run{Spec: one, More: true}, true, Move{}},
		"first page":                          {Run{Spec: one, Active: true, Phase: Forward, More: true}, false, Move{Fetch: true}},
		"a page is on its way":                {Run{Spec: one, Active: true, Phase: Forward, More: true, Fetching: true}, true, Move{}},
		"one writer holds the next page back": {Run{Spec: one, Active: true, Phase: Forward, More: true, Open: 1}, false, Move{}},
		"several writers fetch ahead":         {Run{Spec: both, Active: true, Phase: Forward, More: true, Open: 2}, false, Move{Fetch: true}},
		"but not too far":                     {Run{Spec: both, Active: true, Phase: Forward, More: true, Open: 3}, false, Move{}},
		"the last batches":                    {Run{Spec: both, Active: true, Phase: Forward, Open: 1}, true, Move{}},
		"what was put off goes before an end": {Run{Spec: one, Active: true, Phase: Forward}, true, Move{Sweep: true}},
		"behind the index":                    {Run{Spec: both, Active: true, Phase: Index}, false, Move{Phase: Forward}},
		"and back":                            {Run{Spec: both, Active: true, Phase: Forward}, false, Move{Phase: Backward}},
		"the end of both":                     {Run{Spec: both, Active: true, Phase: Backward}, false, Move{End: Completed}},
		"the end of one":                      {Run{Spec: one, Active: true, Phase: Forward}, false, Move{End: Completed}},
		"too many failures":                   {Run{Spec: one, Active: true, Phase: Forward, More: true, Failures: 10}, false, Move{End: Failed}},
		"a cursor without an end":             {Run{Spec: one, Active: true, Phase: Forward, More: true, Page: maxPages + 1}, false, Move{End: Failed}},
	} {
		got := test.run.Next(test.again)
		if (got.End == Failed) != (got.Why != "") {
			t.Errorf("%s: ends as %q because %q", name, got.End, got.Why)
		}
		got.Why = ""
		if got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

func TestJudge_SaysWhatARecordNeeds(t *testing.T) {
	t.Parallel()
	f := fetched{SyncRecord: abi.SyncRecord{ExternalID: "a"}, hash: "h", key: "k"}
	gone := fetched{SyncRecord: abi.SyncRecord{ExternalID: "a", Deleted: true}}
	free, same, taken := &Record{ID: "b", Hash: "other"}, &Record{ID: "c", Hash: "h"}, &Record{ID: "d", Counterpart: "x"}
	for name, test := range map[string]struct {
		f       fetched
		known   *Record
		matches []*Record
		want    decision
	}{
		"new":                           {f, nil, nil, decision{verdict: write, op: abi.WriteOpCreate}},
		"seen and never written":        {f, &Record{ID: "a", Hash: "h"}, nil, decision{verdict: write, op: abi.WriteOpCreate}},
		"unchanged, or our own echo":    {f, &Record{ID: "a", Counterpart: "b", Hash: "h"}, nil, decision{verdict: nothing}},
		"changed":                       {f, &Record{ID: "a", Counterpart: "b", Hash: "old"}, nil, decision{verdict: write, op: abi.WriteOpUpdate, target: "b"}},
		"a link goes before matches":    {f, &Record{ID: "a", Counterpart: "b", Hash: "old"}, []*Record{same}, decision{verdict: write, op: abi.WriteOpUpdate, target: "b"}},
		"on its way":                    {f, &Record{ID: "a", Busy: true}, nil, decision{verdict: putOff}},
		"on its way and unchanged":      {f, &Record{ID: "a", Counterpart: "b", Hash: "h", Busy: true}, nil, decision{verdict: putOff}},
		"matches":                       {f, nil, []*Record{free}, decision{verdict: write, op: abi.WriteOpUpdate, target: "b", link: true}},
		"matches, and is the same":      {f, nil, []*Record{same}, decision{verdict: linkOnly, target: "c", link: true}},
		"matches what is taken":         {f, nil, []*Record{taken}, decision{verdict: write, op: abi.WriteOpCreate}},
		"matches several":               {f, nil, []*Record{free, same}, decision{verdict: ambiguous}},
		"deleted":                       {gone, &Record{ID: "a", Counterpart: "b"}, nil, decision{verdict: write, op: abi.WriteOpDelete, target: "b"}},
		"deleted before it was written": {gone, &Record{ID: "a"}, nil, decision{verdict: nothing}},
		"deleted and never seen":        {gone, nil, nil, decision{verdict: nothing}},
	} {
		if got := judge(test.f, test.known, test.matches); got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

// plain shows what is hashed.
var plain = hashes{of: func(text string) string { return text }}

func TestContent_IsTheSameWhateverTheOrder(t *testing.T) {
	t.Parallel()
	hash := func(text string) string {
		h, err := plain.content(json.RawMessage(text))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	for _, same := range []string{`{"b":[1,2.50],"a":"ü"}`, ` {"a" : "\u00fc", "b":[1, 2.50] } `} {
		if diff := cmp.Diff(hash(`{"a":"ü","b":[1,2.50]}`), hash(same)); diff != "" {
			t.Error(diff)
		}
	}
	for _, other := range []string{`{"a":"ü","b":[2.50,1]}`, `{"a":"ü"}`, `{"a":"Ü","b":[1,2.50]}`, `{"a":"ü","b":["1",2.50]}`, `{"a":"ü","b":[1,9007199254740993]}`, `{"a":"ü","b":[1,9007199254740992]}`} {
		if hash(other) == hash(`{"a":"ü","b":[1,2.50]}`) {
			t.Errorf("%s counts as the same", other)
		}
	}
	if hash(`9007199254740993`) == hash(`9007199254740992`) {
		t.Error("large numbers are rounded")
	}
	if _, err := plain.content(json.RawMessage(`{`)); fault.SideOf(err) != fault.Guest {
		t.Errorf("no JSON: %v", err)
	}
}

func TestKey_IgnoresCaseAndBlanksAndNeedsAllFields(t *testing.T) {
	t.Parallel()
	fields := []string{"email", "n"}
	key := func(text string) string { return plain.key(fields, json.RawMessage(text)) }
	if a, b := key(`{"email":" Ada@Example.ORG","n":7}`), key(`{"n":7,"email":"ada@example.org ","x":1}`); a == "" || a != b {
		t.Errorf("%q and %q", a, b)
	}
	for _, none := range []string{`{"email":"a@b"}`, `{"email":" ","n":7}`, `{"email":null,"n":7}`, `{"email":["a@b"],"n":7}`, `[]`, `{`, `7`} {
		if k := key(none); k != "" {
			t.Errorf("%s has the key %q", none, k)
		}
	}
	if key(`{"email":"a","n":"b c"}`) == key(`{"email":"a b","n":"c"}`) {
		t.Error("fields run together")
	}
	if plain.key(nil, json.RawMessage(`{}`)) != "" {
		t.Error("a sync that does not match has keys")
	}
}

func TestPage_BoundsAndTheLastOfEachID(t *testing.T) {
	t.Parallel()
	data := json.RawMessage(`{}`)
	page := &abi.FetchPageOutput{Records: []abi.SyncRecord{{ExternalID: "a", Data: data}, {ExternalID: "b", Data: data}, {ExternalID: "a", Deleted: true}}}
	got, err := checked(page)
	if diff := cmp.Diff([]abi.SyncRecord{{ExternalID: "b", Data: data}, {ExternalID: "a", Deleted: true}}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for name, bad := range map[string]abi.FetchPageOutput{
		"no id":             {Records: []abi.SyncRecord{{Data: data}}},
		"a long id":         {Records: []abi.SyncRecord{{ExternalID: strings.Repeat("a", maxID+1), Data: data}}},
		"an id with a NUL":  {Records: []abi.SyncRecord{{ExternalID: "a\x00b", Data: data}}},
		"no data":           {Records: []abi.SyncRecord{{ExternalID: "a"}}},
		"large data":        {Records: []abi.SyncRecord{{ExternalID: "a", Data: json.RawMessage(`"` + strings.Repeat("a", maxData) + `"`)}}},
		"a large cursor":    {Cursor: strings.Repeat("a", maxCursor+1)},
		"a large watermark": {Watermark: strings.Repeat("a", maxWatermark+1)},
		"many records":      {Records: make([]abi.SyncRecord, maxRecords+1)},
	} {
		if _, err := checked(&bad); err == nil || fault.SideOf(err) != fault.Guest {
			t.Errorf("%s: %v", name, err)
		}
	}
}
