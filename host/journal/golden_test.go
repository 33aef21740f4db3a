package journal

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// update writes the golden files anew. Those of a version that was released are never written again: each new version of the
// encoding gets files of its own, and the old ones must be read as they always were.
var update = flag.Bool("update", false, "write the golden files anew")

// everyKind is a log with every kind of record, in three chunks.
func everyKind() [][]*record {
	random := rand.New(rand.NewPCG(1, 1))
	at := time.Date(2026, 5, 6, 7, 8, 9, 123456000, time.UTC)
	tick := func() time.Time { at = at.Add(time.Duration(1+random.IntN(1e6)) * time.Microsecond); return at }
	digest := func(s string) plugin.Digest { return plugin.DigestOf([]byte(s)) }
	start := func() *record {
		s := &Start{At: tick(), ABI: 1, Plugin: "tidepool-welcome", Version: "1.2.3", Digest: digest("plugin"), Export: abi.ExportHandleEvent, Handles: "sealed"}
		for i := range s.Seed {
			s.Seed[i] = byte(random.IntN(256))
		}
		return &record{Kind: kindBegin, Start: s, request: []byte(`{"event":"contact.created","data":{"name":"Ädä \u2028 <&>"}}`)}
	}
	call := func(k kind, p Path, capability, function string, class abi.Class, request, answer string) *record {
		r := &record{Kind: k, Path: p, Capability: capability, Function: function, Class: class, Asked: tick(), request: []byte(request), answer: []byte(answer)}
		if k == kindAnswer {
			r.At = tick()
		}
		if class != abi.ClassRead {
			r.Key = "frigg-" + hex.EncodeToString([]byte(p))
		}
		return r
	}
	large := strings.Repeat(`{"id":1,"text":"a large answer"},`, 3000)
	recalled := call(kindAnswer, "2", "http", "send", abi.ClassRemote, `{"method":"POST","url":"/b"}`, `{"value":{"status":201}}`)
	recalled.Recalled = true
	sleep := call(kindSleep, "3", sleeping, "", "", "72h0m0s", "")
	sleep.Until, sleep.Key = tick(), ""
	failed := &abi.Fault{Kind: abi.FaultKindUnavailable, Side: abi.FaultSideRemote, Message: "the other system does not answer"}
	return [][]*record{
		{
			start(),
			call(kindAnswer, "1", "storage", "get", abi.ClassRead, "\xff\x00 not UTF-8\n", `{"value":{}}`),
			call(kindIntent, "2", "http", "send", abi.ClassRemote, `{"method":"POST","url":"/b"}`, ""),
			{Kind: kindOutcome, Path: "2", At: tick(), answer: []byte(`{"fault":{"kind":"unavailable","side":"remote","message":"the other system does not answer"}}`)},
			{Kind: kindReopen, At: tick()},
			call(kindIntent, "2", "http", "send", abi.ClassRemote, `{"method":"POST","url":"/b"}`, ""),
			{Kind: kindOutcome, Path: "2", At: tick(), answer: []byte(`{"value":{"status":201}}`)},
			{Kind: kindEnd, End: &Ending{At: tick(), Fault: failed, Fuel: 1234, Memory: 1 << 20, Took: 5 * time.Millisecond}},
		},
		{
			start(),
			call(kindAnswer, "1", "http", "send", abi.ClassRead, `{"url":"/all"}`, large),
			recalled,
			sleep,
			{Kind: kindPin, Path: "4", Digest: digest("module")},
			call(kindAnswer, "4.1", "http", "send", abi.ClassRead, `{"url":"/me"}`, `{"value":{"status":200}}`),
			call(kindAnswer, "4", "module", "call", abi.ClassRemote, `{"role":"crm","method":"me"}`, `{"value":{"value":7}}`),
			call(kindAnswer, "5", "mapping", "put", abi.ClassLocal, `{}`, `{"value":{}}`),
			call(kindIntent, "6", "http", "send", abi.ClassRemote, `{"method":"POST","url":"/c"}`, ""),
		},
		{
			{Kind: kindDecide, Path: "6", Decision: &Decision{Choice: Happened, Answer: json.RawMessage(`{"status":201}`), By: "ada", At: tick()}},
			{Kind: kindOutcome, Path: "6", At: tick(), answer: []byte(`{"value":{"status":201}}`)},
			{Kind: kindEnd, End: &Ending{At: tick(), Fuel: 99, Own: 66, Memory: 1 << 20, Took: time.Second, Sum: sumOf([]byte(`{"value":{}}`))}, answer: []byte(`{"value":{}}`)},
		},
	}
}

const goldenDir = "testdata/golden"

// TestGolden_WhatWasWrittenIsReadForEver: records of hosts that are long gone are read as they were meant.
func TestGolden_WhatWasWrittenIsReadForEver(t *testing.T) {
	t.Parallel()
	if *update {
		writeGolden(t)
	}
	chunks, err := filepath.Glob(goldenDir + "/v1-*.bin")
	if err != nil || len(chunks) != 3 {
		t.Fatalf("%d golden chunks, %v", len(chunks), err)
	}
	blobs := map[string][]byte{}
	kept, err := filepath.Glob(goldenDir + "/*.blob")
	if err != nil || len(kept) == 0 {
		t.Fatalf("%d golden blobs, %v", len(kept), err)
	}
	for _, file := range kept {
		if blobs[strings.TrimSuffix(filepath.Base(file), ".blob")], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	log := &Log{}
	for _, file := range chunks {
		chunk, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := log.load(chunk, blobs); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	got := inJSON(t, log)
	const golden = goldenDir + "/v1.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestGolden_EveryKindIsThere: who adds a kind adds it to the golden files.
func TestGolden_EveryKindIsThere(t *testing.T) {
	t.Parallel()
	missing := map[kind]bool{
		kindBegin: true, kindReopen: true, kindAnswer: true, kindIntent: true, kindOutcome: true, kindSleep: true, kindPin: true, kindDecide: true, kindEnd: true,
	}
	for _, chunk := range everyKind() {
		for _, r := range chunk {
			delete(missing, r.Kind)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no record of %v", missing)
	}
}

// inJSON is all that a log says.
func inJSON(t *testing.T, l *Log) []byte {
	t.Helper()
	type try struct {
		*Try
		Input, Output string
		Pins          map[Path]plugin.Digest
	}
	type entry struct {
		*Entry
		Request, Answer string
	}
	var all []any
	for _, tr := range l.Tries {
		var entries []entry
		for _, e := range tr.Entries {
			answer := string(e.Answer)
			if len(answer) > 1000 {
				answer = sumOf(e.Answer)
			}
			entries = append(entries, entry{e, string(e.Request), answer})
		}
		all = append(all, map[string]any{"try": try{&Try{Start: tr.Start, End: tr.End}, string(tr.Start.Input), string(tr.End.Output), tr.pins}, "entries": entries})
	}
	text, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

func writeGolden(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(goldenDir, 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for i, records := range everyKind() {
		c, err := pack(records)
		if err != nil {
			t.Fatal(err)
		}
		files["v1-"+string(rune('a'+i))+".bin"] = c.Data
		for sum, blob := range c.Blobs {
			files[sum+".blob"] = blob
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(goldenDir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
