package guest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest/rewrite"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
	"github.com/frigg-host/frigg-host/host/plugin/wasm/wasmtest"
)

// Instructions that the modules of these tests are made of.
var (
	drop         = []byte{0x1a}
	unreachable  = []byte{0x00}
	zero         = i32(0)
	fillMemory   = []byte{0xfc, 0x0b, 0}
	growMemory   = []byte{0x40, 0}
	forever      = []byte{0x03, 0x40, 0x0c, 0, 0x0b}
	nothing      = wasm.FuncType{}
	countingDown = []byte{0x20, 0, 0x42, 1, 0x7d, 0x22, 0, 0x42, 0, 0x52} // local 0 goes down; whether it is not 0 yet
)

func i64(n int) []byte {
	b := i32(n)
	b[0] = 0x42
	return b
}

// repeating is code that runs body n times. It counts in local 0.
func repeating(n int, body ...byte) []byte {
	return cat(i64(n), []byte{0x21, 0, 0x03, 0x40}, body, countingDown, []byte{0x0d, 0, 0x0b})
}

// runs is a module with memory whose export run does what code says.
func runs(pages uint32, code ...[]byte) []byte {
	return wasmtest.Module{
		Funcs: []wasmtest.Func{{Export: "run", Type: wasmtest.Entry, Locals: 1, Code: cat(cat(code...), zero)}, {Export: "noop", Type: wasmtest.Entry}},
		Pages: pages,
	}.Bytes()
}

// recursing is a module whose export run calls itself so deep, with a frame of some size.
func recursing(deep int) []byte {
	down := wasm.FuncType{Params: []wasm.ValType{wasm.I64}, Results: []wasm.ValType{wasm.I64}}
	return wasmtest.Module{Funcs: []wasmtest.Func{
		{Export: "run", Type: wasmtest.Entry, Code: cat(i64(deep), call(1), drop, zero)},
		{Type: down, Code: cat([]byte{0x20, 0, 0x50, 0x04, 0x7e}, i64(0), []byte{0x05, 0x20, 0, 0x20, 0}, i64(1), []byte{0x7d}, call(1), []byte{0x7c, 0x0b})},
		{Export: "noop", Type: wasmtest.Entry},
	}}.Bytes()
}

// fuelOf is what a call spends.
func fuelOf(t testing.TB, m Module, export string, l Limits, want Reason) int64 {
	t.Helper()
	r, err := m.Call(context.Background(), Call{Plugin: "p", Export: export, Input: bytes.Repeat([]byte("in"), 512), Limits: l})
	if ReasonOf(err) != want {
		t.Fatalf("%s with %+v: %v, want %q", export, l, err, want)
	}
	return r.Fuel
}

// TestFuel_IsProportional: also over many quanta, each is counted once.
func TestFuel_IsProportional(t *testing.T) {
	t.Parallel()
	e := open(t, Config{})
	for _, step := range []int{1, 1000, quantum, 7 * quantum} {
		var spent []int64
		for _, n := range []int{1, 2, 3} {
			spent = append(spent, fuelOf(t, compiledBytes(t, e, runs(0, repeating(n*step))), "run", Limits{}, ""))
		}
		if each := spent[1] - spent[0]; each < int64(step) || spent[2]-spent[1] != each {
			t.Errorf("%d rounds more cost %d, and the next %d", step, each, spent[2]-spent[1])
		}
	}
}

func TestFuel_LimitStopsExactly(t *testing.T) {
	t.Parallel()
	e := open(t, Config{})
	for _, rounds := range []int{10, 100, quantum - 1, quantum, quantum + 1, 3 * quantum, 10*quantum + 7} {
		m := compiledBytes(t, e, runs(0, repeating(rounds)))
		need := fuelOf(t, m, "run", Limits{}, "")
		if again := fuelOf(t, m, "run", Limits{Fuel: need}, ""); again != need {
			t.Errorf("%d rounds take %d and then %d", rounds, need, again)
		}
		if spent := fuelOf(t, m, "run", Limits{Fuel: need - 1}, ReasonFuel); spent < need || spent > need+2 {
			t.Errorf("%d rounds: stopped at %d of %d", rounds, spent, need)
		}
	}
}

func TestFuel_BoundsRecursionAndBulk(t *testing.T) {
	t.Parallel()
	e := open(t, Config{})
	const pages = 16
	fill := compiledBytes(t, e, runs(pages, zero, zero, i32(pages*pageSize), fillMemory))
	if spent := fuelOf(t, fill, "run", Limits{}, ""); spent < pages*pageSize/64 || spent > pages*pageSize/32 {
		t.Errorf("filling %d bytes costs %d", pages*pageSize, spent)
	}
	fuelOf(t, fill, "run", Limits{Fuel: 1000}, ReasonFuel)

	deep := compiledBytes(t, e, recursing(10_000))
	if spent := fuelOf(t, deep, "run", Limits{}, ""); spent < 10_000 {
		t.Errorf("10000 calls cost %d", spent)
	}
	fuelOf(t, deep, "run", Limits{Fuel: 5000}, ReasonFuel)
	fuelOf(t, compiledBytes(t, e, fixture("recurse")), "recurse", Limits{Fuel: 5000}, ReasonFuel)
}

// TestFuel_HostFunctionsCostWhatTheyMove: exactly, also when a guest computes nothing else.
func TestFuel_HostFunctionsCostWhatTheyMove(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}})
	for name, imports := range map[string]wasm.Import{
		"output": imported(abi.BulkModule, "output_write", "ii", ""),
		"blocks": imported(abi.BulkModule, "write", "ii", "I"),
		"random": imported(abi.WASIModule, "random_get", "ii", "i"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const bytes = 40 * pageSize
			m := compiledBytes(t, e, wasmtest.Module{
				Imports: []wasm.Import{imports},
				Funcs:   []wasmtest.Func{{Export: "run", Type: wasmtest.Entry, Code: cat(zero, i32(bytes), call(0), dropResult(imports), zero)}},
				Pages:   40,
			}.Bytes())
			need := fuelOf(t, m, "run", Limits{}, "")
			if need < bytes/64 {
				t.Errorf("moving %d bytes costs %d", bytes, need)
			}
			if again := fuelOf(t, m, "run", Limits{Fuel: need}, ""); again != need {
				t.Errorf("it costs %d and then %d", need, again)
			}
			for _, less := range []int64{need - 1, need / 2, 10} {
				fuelOf(t, m, "run", Limits{Fuel: less}, ReasonFuel)
			}
		})
	}
}

// dropResult drops the result of an import, if it has one.
func dropResult(im wasm.Import) []byte {
	if len(im.Type.Results) == 0 {
		return nil
	}
	return drop
}

// TestFuel_AsksForMemoryAreNoYields: a guest that asks for as much as the fuel code does gets neither memory nor fuel.
func TestFuel_AsksForMemoryAreNoYields(t *testing.T) {
	t.Parallel()
	e := open(t, Config{})
	ask := cat(i32(rewrite.YieldPages), growMemory, drop)
	other := cat(i32(rewrite.YieldPages-1), growMemory, drop)
	for _, n := range []int{1, 100, 3 * quantum} {
		same := fuelOf(t, compiledBytes(t, e, runs(1, repeating(n, ask...))), "run", Limits{}, "")
		if want := fuelOf(t, compiledBytes(t, e, runs(1, repeating(n, other...))), "run", Limits{}, ""); same != want {
			t.Errorf("asking %d times costs %d, and for another size %d", n, same, want)
		}
	}
	fuelOf(t, compiledBytes(t, e, runs(1, ask, unreachable)), "run", Limits{}, ReasonMemory)
	fuelOf(t, compiledBytes(t, e, runs(1, repeating(1<<40, ask...))), "run", Limits{Timeout: 20 * time.Millisecond}, ReasonDeadline)
}

// counted are calls whose fuel must be the same wherever they run.
var counted = []struct{ module, export string }{
	{"good", "echo"},
	{"good", "state"},
	{"good", "print"},
	{"good", "fail"},
	{"bulk", "echo"},
	{"hostile", "exit_7"},
	{"hostile", "unreachable"},
	{"gopher", "noop"},
	{"gopher", "work"},
	{"gopher", "churn"},
	{"gopher", "panics"},
}

// moduleOf is a fixture, the gopher or a script, nil if that cannot be used here.
func moduleOf(t testing.TB, name string) []byte {
	t.Helper()
	switch {
	case name != "gopher" && name != "script":
		return fixture(name)
	case underRace:
		return nil
	case name == "script":
		return script(t, messy, "state")
	}
	return gopher(t)
}

// counts are the fuel of counted calls in a fresh engine, as text.
func counts(t testing.TB, c Config, gophers bool) (all []string) {
	t.Helper()
	c.Imports, c.CacheDir = []Import{sendImport}, cacheDir()
	if c.Interpreter {
		c.CacheDir = ""
	}
	e := open(t, c)
	modules := map[string]Module{}
	for _, x := range counted {
		if x.module == "gopher" && (!gophers || underRace) {
			continue
		}
		if modules[x.module] == nil {
			modules[x.module] = compiledBytes(t, e, moduleOf(t, x.module))
		}
		seed := [32]byte{1}
		r, err := modules[x.module].Call(context.Background(), Call{Plugin: "p", Export: x.export, Input: make([]byte, 1000), Seed: &seed, Limits: Limits{Timeout: time.Minute}})
		all = append(all, fmt.Sprintf("%s %s: %d units, %q", x.module, x.export, r.Fuel, ReasonOf(err)))
	}
	return all
}

// TestFuel_IsTheSameEverywhere: on every rung of the ladder, at any time, and without a compiler.
func TestFuel_IsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	want := counts(t, Config{}, true)
	if len(want) == 0 {
		t.Fatal("nothing was counted")
	}
	for name, c := range map[string]Config{
		"another time": {Now: func() time.Time { return time.Unix(1, 0) }, Entropy: bytes.NewReader(make([]byte, 1<<20))},
		"copy":         {Isolation: Copy},
		"fork":         {Isolation: Fork},
		"fresh":        {Isolation: Fresh},
		"interpreter":  {Interpreter: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fresh := c.Isolation == Fresh // setting up a Go guest moves its clock, which it may notice
			got := counts(t, c, !fresh)
			if err := equal("fuel", want[:len(got)], got); err != nil {
				t.Error(err)
			}
		})
	}
}

// brief are calls of each kind of guest that can be made a thousand times also without a compiler.
var brief = []struct{ module, export string }{{"good", "echo"}, {"gopher", "state"}, {"script", "state"}}

// repeated are the different counts of fuel that a thousand calls of each spend: one, if all is well.
func repeated(t testing.TB, c Config) map[string][]int64 {
	t.Helper()
	c.Imports = []Import{sendImport}
	if !c.Interpreter {
		c.CacheDir = cacheDir()
	}
	e := open(t, c)
	all := map[string][]int64{}
	for _, x := range brief {
		wasm := moduleOf(t, x.module)
		if wasm == nil {
			continue
		}
		m, seed := compiledBytes(t, e, wasm), [32]byte{1}
		var spent []int64
		for range times(t, 1000) {
			r, err := m.Call(context.Background(), Call{Plugin: "p", Export: x.export, Input: []byte(`{"a":1}`), Seed: &seed, Limits: Limits{Timeout: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			spent = append(spent, r.Fuel)
		}
		slices.Sort(spent)
		all[x.module] = slices.Compact(spent)
	}
	return all
}

// TestFuel_IsTheSameAThousandTimes: in compiled Go, C and JavaScript, with and without a compiler. Another process counts
// the same in TestDeterminism_AnotherProcessMakesAndCountsTheSame.
func TestFuel_IsTheSameAThousandTimes(t *testing.T) {
	t.Parallel()
	compiled, interpreted := repeated(t, Config{}), repeated(t, Config{Interpreter: true})
	if err := equal("fuel", compiled, interpreted); err != nil || len(compiled) == 0 {
		t.Errorf("%d guests, %v", len(compiled), err)
	}
	for name, spent := range compiled {
		if len(spent) != 1 || spent[0] <= 0 {
			t.Errorf("%s spends %d", name, spent)
		}
	}
}

// TestFuel_DoesNotDependOnWhatRanBefore: in an instance that was used for everything.
func TestFuel_DoesNotDependOnWhatRanBefore(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}, CacheDir: cacheDir()})
	for _, c := range []struct {
		name, export string
		mix          []scene
	}{{"good", "echo", goodMix}, {"hostile", "exit_7", hostileMix}, {"gopher", "work", gopherMix}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wasm := moduleOf(t, c.name)
			if wasm == nil {
				t.Skip("the race detector watches the compiler, too")
			}
			m := compiledBytes(t, e, wasm)
			spend := func() int64 {
				seed := [32]byte{1}
				r, _ := m.Call(context.Background(), Call{Plugin: "p", Export: c.export, Input: make([]byte, 100), Seed: &seed})
				return r.Fuel
			}
			want := spend()
			if want <= 0 {
				t.Fatal("it costs nothing")
			}
			for n := range times(t, 1000) {
				if n%20 == 0 {
					if err := c.mix[n/20%len(c.mix)].play(m); err != nil {
						t.Fatal(err)
					}
				}
				if got := spend(); got != want {
					t.Fatalf("run %d costs %d and not %d", n, got, want)
				}
			}
		})
	}
}
