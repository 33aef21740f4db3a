package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

// templates are the sums of the templates that an engine makes, and where their clocks stand, as text.
func templates(t testing.TB, c Config) (all []string) {
	t.Helper()
	c.Imports = []Import{sendImport}
	if !c.Interpreter {
		c.CacheDir = cacheDir()
	}
	e := open(t, c)
	for _, name := range []string{"good", "hostile", "bulk", "gopher"} {
		bytes := moduleOf(t, name)
		if bytes == nil {
			continue
		}
		m := compiledBytes(t, e, bytes).template
		if m == nil {
			t.Fatalf("%s has no template", name)
		}
		all = append(all, fmt.Sprintf("%s: %x, globals %v, arena %x, blocks %v, clock %d", name, m.image.Sum(), m.globals, m.arena, m.blocks, m.mono))
	}
	return all
}

// TestDeterminism_TemplatesAreTheSameEverywhere: whatever the time, the randomness and the engine.
func TestDeterminism_TemplatesAreTheSameEverywhere(t *testing.T) {
	t.Parallel()
	want := templates(t, Config{})
	for name, c := range map[string]Config{
		"again":               {},
		"at another time":     {Now: func() time.Time { return time.Unix(1, 0) }},
		"with other entropy":  {Entropy: bytes.NewReader(make([]byte, 1<<20))},
		"without a compiler":  {Interpreter: true},
		"put back by copying": {Isolation: Copy},
		"forking":             {Isolation: Fork},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := equal("templates", want, templates(t, c)); err != nil {
				t.Error(err)
			}
		})
	}
}

// report is what another process says of itself.
type report struct {
	Templates, Fuel []string
	Repeated        map[string][]int64
}

// reportOf is the report of this process.
func reportOf(t testing.TB) report {
	t.Helper()
	return report{templates(t, Config{}), counts(t, Config{}, true), repeated(t, Config{})}
}

const askForReport = "FRIGG_TEST_REPORT"

// TestDeterminism_Report is the other process of the next test.
func TestDeterminism_Report(t *testing.T) {
	file := os.Getenv(askForReport)
	if file == "" {
		t.Skip("nobody asks")
	}
	b, err := json.Marshal(reportOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDeterminism_AnotherProcessMakesAndCountsTheSame: templates and fuel, also that of a thousand calls of each guest.
func TestDeterminism_AnotherProcessMakesAndCountsTheSame(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/report"
	other := exec.Command(os.Args[0], "-test.run=^TestDeterminism_Report$")
	other.Env = append(os.Environ(), askForReport+"="+file, "GOMAXPROCS=1")
	if said, err := other.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if err := equal("report", reportOf(t), got); err != nil || len(got.Fuel) == 0 || len(got.Repeated) == 0 {
		t.Errorf("%d and %d counts, %v", len(got.Fuel), len(got.Repeated), err)
	}
}

// imported is a function with such types, a letter each.
func imported(module, name, params, results string) wasm.Import {
	types := func(letters string) (all []wasm.ValType) {
		for _, l := range letters {
			all = append(all, map[rune]wasm.ValType{'i': wasm.I32, 'I': wasm.I64}[l])
		}
		return all
	}
	return wasm.Import{Module: module, Name: name, Type: wasm.FuncType{Params: types(params), Results: types(results)}}
}

// TestDeterminism_WhatAsksForItsCallAtTheStartHasNoTemplate: it starts in each call, which then has what it asks for.
func TestDeterminism_WhatAsksForItsCallAtTheStartHasNoTemplate(t *testing.T) {
	t.Parallel()
	const kernel = abi.KernelModule
	e := open(t, Config{Imports: []Import{sendImport}})
	for _, c := range []struct {
		name  string
		asks  wasm.Import
		start []byte // the import is function 0
		why   string
		ends  Reason // the call
	}{
		{"nothing", imported(kernel, "input_length", "", "I"), []byte{0x01}, "", ""},
		{"its length", imported(kernel, "input_length", "", "I"), cat(call(0), drop), "its start uses the input, which belongs to a call", ""},
		{"its bytes", imported(kernel, "input_load_u8", "I", "i"), cat(i64(0), call(0), drop), "its start uses the input, which belongs to a call", ""},
		{"its block", imported(kernel, "input_offset", "", "I"), cat(call(0), drop), "its start uses the input, which belongs to a call", ""},
		{"its configuration", imported(kernel, "config_get", "I", "I"), cat(i64(0), call(0), drop), "its start uses the configuration, which belongs to a call", ""},
		{"variables", imported(kernel, "var_get", "I", "I"), cat(i64(0), call(0), drop), "its start uses variables, which belongs to a call", ""},
		{"the output", imported(kernel, "output_set", "II", ""), cat(i64(0), i64(0), call(0)), "its start uses the output, which belongs to a call", ""},
		{"the error", imported(kernel, "error_set", "I", ""), cat(i64(0), call(0)), "its start uses the error, which belongs to a call", ""},
		{"its log", imported(kernel, "get_log_level", "", "i"), cat(call(0), drop), "its start uses the level of its log, which belongs to a call", ""},
		{"bulk input", imported(abi.BulkModule, "input_read", "ii", "i"), cat(zero, zero, call(0), drop), "its start uses the input, which belongs to a call", ""},
		{"bulk output", imported(abi.BulkModule, "output_write", "ii", ""), cat(zero, zero, call(0)), "its start uses the output, which belongs to a call", ""},
		{"a capability", imported(sendImport.Module, sendImport.Name, "I", "I"), cat(i64(0), call(0), drop), "its start uses the capability frigg:host/http, which belongs to a call", ""},
		{"to trap", imported(kernel, "reset", "", ""), unreachable, "it cannot start: trap: unreachable", ReasonTrap},
		{"to fail after it asked", imported(kernel, "input_load_u8", "I", "i"), cat(i64(100), call(0), drop), "its start uses the input, which belongs to a call", ReasonTrap},
		{"to end", imported(abi.WASIModule, "proc_exit", "i", ""), cat(zero, call(0)), "it cannot start: it exits", ReasonFailed},
		{"to end with an error", imported(abi.WASIModule, "proc_exit", "i", ""), cat(i32(7), call(0)), "it cannot start: exited with code 7", ReasonFailed},
		{"to flood", imported(kernel, "alloc", "I", "I"), cat(i64(1<<30), call(0), drop), "it cannot start: limit of 64 MiB for Extism blocks reached", ReasonArena},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := compiledBytes(t, e, wasmtest.Module{
				Imports: []wasm.Import{c.asks},
				Funcs:   []wasmtest.Func{{Export: startInitialize, Type: nothing, Code: c.start}, {Export: "run", Type: wasmtest.Entry}},
				Pages:   1,
			}.Bytes())
			d := m.Describe()
			if d.Why != c.why || (c.why == "") != (d.Isolation == e.Report().Isolation) || (c.why != "") != (d.Isolation == Fresh) {
				t.Errorf("it says %+v, want %q", d, c.why)
			}
			for range 2 {
				_, err := m.Call(context.Background(), Call{Plugin: "p", Export: "run", Input: []byte("input"), Config: map[string]string{"": "x"}, Host: answering})
				if ReasonOf(err) != c.ends {
					t.Errorf("got %v, want %q", err, c.ends)
				}
			}
		})
	}
}

// TestDeterminism_TemplatesThatCannotBe: and why.
func TestDeterminism_TemplatesThatCannotBe(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}})
	for _, c := range []struct {
		name string
		wasm []byte
		why  string
		ends Reason
	}{
		{"data that does not fit", wasmtest.Module{Funcs: wasmtest.Exports("run"), Pages: 1, Data: strings.Repeat("x", pageSize+1)}.Bytes(), "it cannot start: trap: its data does not fit into its memory", ReasonTrap},
		{"data that just fits", wasmtest.Module{Funcs: wasmtest.Exports("run"), Pages: 1, Data: strings.Repeat("x", pageSize)}.Bytes(), "", ""},
		{"neither memory nor code", wasmtest.Module{Funcs: wasmtest.Exports("run")}.Bytes(), "", ""},
		{"too much memory", wasmtest.Module{Funcs: wasmtest.Exports("run"), Pages: 65536}.Bytes(), "it cannot start: needs 4 GiB of memory to start", ReasonMemory},
		{"a start without end", wasmtest.Module{Funcs: append(wasmtest.Exports("run"), wasmtest.Func{Export: startInitialize, Type: nothing, Code: forever})}.Bytes(), "it cannot start: limit of ", ReasonDeadline},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := compiledBytes(t, e, c.wasm)
			if d := m.Describe(); !strings.HasPrefix(d.Why, c.why) || (c.why == "") != (d.Why == "") {
				t.Errorf("it says %+v, want %q", d, c.why)
			}
			if _, err := m.Call(context.Background(), Call{Plugin: "p", Export: "run", Limits: short}); ReasonOf(err) != c.ends {
				t.Errorf("got %v, want %q", err, c.ends)
			}
		})
	}
}

// TestDeterminism_TemplatesKnowNothingOfACall: the same after calls as before.
func TestDeterminism_TemplatesKnowNothingOfACall(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}})
	m := compiledBytes(t, e, fixture("good"))
	before, globals := bytes.Clone(m.template.image.Bytes()), fmt.Sprint(m.template.globals, m.template.arena, m.template.blocks)
	for _, s := range goodMix {
		if err := s.play(m); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(before, m.template.image.Bytes()) || globals != fmt.Sprint(m.template.globals, m.template.arena, m.template.blocks) {
		t.Error("it has changed")
	}
}
