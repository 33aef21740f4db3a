package guest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/fault"
)

// sdkCase is one call of a module that the Extism Go SDK tests itself with.
type sdkCase struct {
	file, export, input string
	config              map[string]string
	limits              Limits
	want                string // the output
	reason              Reason // instead of an output
	msg                 string // of the error, without "guest FILE: "
	console             string // contained in what it prints
	log                 []logLine
}

// sdkCases names every file of the SDK's folder wasm at least once.
var sdkCases = []sdkCase{
	{file: "alloc.wasm", export: "run_test"},
	{file: "config.wasm", export: "run_test", want: `{"config": "<unset by host>"}`},
	{file: "config.wasm", export: "run_test", config: map[string]string{"thing": "hello"}, want: `{"config": "hello"}`},
	{file: "count_vowels.wasm", export: "count_vowels", want: `{"count":0,"total":0,"vowels":"aeiouAEIOU"}`},
	{file: "count_vowels.wasm", export: "count_vowels", input: "hello world", want: `{"count":3,"total":3,"vowels":"aeiouAEIOU"}`},
	{file: "count_vowels.wasm", export: "count_vowels", input: strings.Repeat("aeiou, bcd ", 5000), want: `{"count":25000,"total":25000,"vowels":"aeiouAEIOU"}`},
	{file: "count_vowels.wasm", export: "count_vowels", input: "hello", config: map[string]string{"vowels": "l"}, want: `{"count":2,"total":2,"vowels":"l"}`},
	{file: "count_vowels.wasm", export: "nothing", reason: ReasonExport, msg: `no export "nothing"; it offers count_vowels`},
	{file: "count_vowels_std.wasm", export: "_start", input: "hello world", want: `{"count": 3, "config": "<unset by host>", "a": "this is var a"}`},
	{file: "exit.wasm", export: "_start", config: map[string]string{"code": "0"}, want: ""},
	{file: "exit.wasm", export: "_start", config: map[string]string{"code": "-1"}, reason: ReasonFailed, msg: "exited with code -1"},
	{file: "exit.wasm", export: "_start", config: map[string]string{"code": "500"}, reason: ReasonFailed, msg: "exited with code 500"},
	{file: "exit.wasm", export: "_start", config: map[string]string{"code": "abc"}, reason: ReasonFailed, msg: "exited with code 1"},
	{file: "exit.wasm", export: "_start", reason: ReasonFailed, msg: "exited with code 2"},
	{file: "fail.wasm", export: "run_test", reason: ReasonFailed, msg: "Some error message"},
	{file: "fs.wasm", export: "run_test", reason: ReasonFailed, msg: "run_test returned 1"}, // there are no files
	{file: "fs_std.wasm", export: "run_test", reason: ReasonFailed, msg: "run_test returned 1"},
	{file: "hello.wasm", export: "run_test", want: "Hello, world!"},
	{file: "hello_haskell.wasm", export: "testing", input: "abc", want: "Hello, abc"},
	{file: "host.wasm", export: "run_test", want: "42 x 2 = 84"},
	{file: "host_memory.wasm", export: "run_test", input: "Frodo", want: "HELLO FRODO!"},
	{file: "host_multiple.wasm", export: "say_green", input: "John Doe", want: "🟢:🫱 Hey from say_green John Doe"},
	{file: "host_multiple.wasm", export: "say_purple", input: "Jane Doe", want: "🟣:👋 Hello from say_purple Jane Doe"},
	{file: "http.wasm", export: "run_test", reason: ReasonTrap, msg: "trap: " + noHTTP},
	{file: "http_headers.wasm", export: "http_get", input: `{"url":"https://extism.org"}`, reason: ReasonTrap, msg: "trap: " + noHTTP},
	{file: "input_offset.wasm", export: "input_offset_length", input: "hello", want: "\x05\x00\x00\x00\x00\x00\x00\x00"},
	{file: "lib.wasm", export: "_start"},
	{file: "lib.wasm", export: "capitalize", reason: ReasonExport, msg: `no export "capitalize"; it offers _start, asyncify_get_state, asyncify_stop_rewind, asyncify_stop_unwind`}, // it takes a parameter
	{file: "log.wasm", export: "run_test", log: []logLine{{LevelInfo, "this is an info log"}, {LevelWarn, "this is a warning log"}, {LevelError, "this is an error log"}}},
	{file: "main.wasm", export: "run_test", input: "benjamin", want: "Hello, BENJAMIN"},
	{file: "nested.c.instr.wasm", export: "_start", console: "Hello from Wasm!\n"},
	{file: "noop.wasm", export: "run_test"},
	{file: "println.wasm", export: "run_test", input: "x", console: "this was printed from the plugin x\n"},
	{file: "read_write.wasm", export: "try_read", config: map[string]string{"path": "/mnt/test.txt"}, reason: ReasonFailed, msg: noPreopen},
	{file: "read_write.wasm", export: "try_write", input: "x", config: map[string]string{"path": "/mnt/test.txt"}, reason: ReasonFailed, msg: noPreopen},
	{file: "replace.wasm", export: "run_test", input: "this is a test", want: "this is a wasm"},
	{file: "sleep.wasm", export: "run_test", config: map[string]string{"duration": "0"}, want: "slept for 0 seconds"},
	{file: "sleep.wasm", export: "run_test", config: map[string]string{"duration": "3"}, limits: short, reason: ReasonDeadline, msg: "deadline exceeded (100ms) in run_test"},
	{file: "std_command.wasm", export: "_start", input: "ben", want: "hello ben"},
	{file: "var.wasm", export: "run_test", want: "a: 0"},
}

const noPreopen = `Failed to read file: failed to find a pre-opened file descriptor through which "/mnt/test.txt" could be opened`

// sdkImports are what the SDK's tests offer to its modules beside the kernel.
var sdkImports = []hostFunction{
	{Import: Import{"extism:host/user", "mult"}, params: "II", results: "I", run: func(_ blocks, s []uint64) { s[0] = uint64(uint32(int32(s[0]) * int32(s[1]))) }},
	transform("host", "to_upper", bytes.ToUpper),
	transform("extism:host/user", "hostGreenMessage", func(b []byte) []byte { return append([]byte("🟢:"), b...) }),
	transform("extism:host/user", "hostPurpleMessage", func(b []byte) []byte { return append([]byte("🟣:"), b...) }),
	transform("lib", "capitalize", bytes.ToUpper), // that of lib.wasm; TestConformance_LinkedModules links the real one
	{Import: Import{"dylibso_observe", "instrument_enter"}, params: "i", run: func(blocks, []uint64) {}},
	{Import: Import{"dylibso_observe", "instrument_exit"}, params: "i", run: func(blocks, []uint64) {}},
	{Import: Import{"dylibso_observe", "instrument_memory_grow"}, params: "i", run: func(blocks, []uint64) {}},
}

// transform is a host function from one block to another.
func transform(module, name string, f func([]byte) []byte) hostFunction {
	return hostFunction{
		Import: Import{module, name}, params: "I", results: "I",
		run: func(b blocks, s []uint64) { s[0] = b.place(f(bytes.Clone(b.block(s[0])))) },
	}
}

// sdkFolder is the folder wasm of the Extism Go SDK.
func sdkFolder(t testing.TB) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/extism/go-sdk").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "wasm")
}

// TestConformance_SDKModules: the modules that the SDK tests itself with give the same through both engines.
func TestConformance_SDKModules(t *testing.T) {
	t.Parallel()
	folder, cache := sdkFolder(t), t.TempDir()
	for _, name := range []string{Native, Extism} { // one after the other: the second finds the code of the first
		t.Run(name, func(t *testing.T) {
			e, err := Open(context.Background(), name, Config{functions: sdkImports, CacheDir: cache})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { e.Close(context.Background()) })
			modules := map[string]Module{}
			for i, c := range sdkCases {
				t.Run(fmt.Sprintf("%02d_%s_%s", i, c.file, c.export), func(t *testing.T) {
					file := filepath.Join(folder, c.file)
					if info, err := os.Stat(file); underRace && err == nil && info.Size() > 500<<10 {
						t.Skip("compiling it under the race detector takes too long; run without -race")
					}
					if modules[c.file] == nil {
						modules[c.file] = compileFile(t, e, file)
					}
					c.run(t, modules[c.file])
				})
			}
		})
	}
}

func compileFile(t testing.TB, e Engine, file string) Module {
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Compile(context.Background(), wasm)
	if err != nil {
		t.Fatalf("%s: %v", filepath.Base(file), err)
	}
	return m
}

func (c sdkCase) run(t *testing.T, m Module) {
	log := []logLine{}
	if c.limits.Timeout == 0 {
		c.limits.Timeout = 5 * time.Minute // what is compared here is not speed
	}
	r, err := m.Call(context.Background(), Call{
		Plugin: c.file, Export: c.export, Input: []byte(c.input), Config: c.config, Limits: c.limits,
		Log: func(l Level, msg string) {
			if l >= LevelInfo { // the reference engine has no other
				log = append(log, logLine{l, msg})
			}
		},
	})
	msg := ""
	if err != nil {
		msg = strings.TrimPrefix(fault.PublicMessage(err), "guest "+c.file+": ")
	}
	if ReasonOf(err) != c.reason || msg != c.msg {
		t.Errorf("want %q %q, got %v", c.reason, c.msg, err)
	}
	if string(r.Output) != c.want {
		t.Errorf("want output %q, got %q", c.want, r.Output)
	}
	if !strings.Contains(string(r.Console), c.console) {
		t.Errorf("want %q in what it prints, got %q", c.console, r.Console)
	}
	if diff := cmp.Diff(slices.Clip(c.log), log); diff != "" && c.log != nil {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// TestConformance_NamesEveryModule: a file of the SDK that no case names is noticed.
func TestConformance_NamesEveryModule(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(sdkFolder(t), "*.wasm"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the SDK's folder is empty: %v", err)
	}
	var have, want []string
	for _, f := range files {
		have = append(have, filepath.Base(f))
	}
	for _, c := range sdkCases {
		want = append(want, c.file)
	}
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), have); diff != "" {
		t.Errorf("cases and files differ (-cases +files):\n%s", diff)
	}
}

// TestConformance_LinkedModules: neither engine links modules; a host function in the place of the linked one gives what
// the SDK gives that does.
func TestConformance_LinkedModules(t *testing.T) {
	t.Parallel()
	folder := sdkFolder(t)
	manifest := extism.Manifest{Wasm: []extism.Wasm{
		extism.WasmFile{Path: filepath.Join(folder, "lib.wasm"), Name: "lib"},
		extism.WasmFile{Path: filepath.Join(folder, "main.wasm"), Name: "main"},
	}}
	p, err := extism.NewPlugin(context.Background(), manifest, extism.PluginConfig{EnableWasi: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	i := slices.IndexFunc(sdkCases, func(c sdkCase) bool { return c.file == "main.wasm" })
	_, out, err := p.Call(sdkCases[i].export, []byte(sdkCases[i].input))
	if err != nil || string(out) != sdkCases[i].want {
		t.Errorf("linked by the SDK: want %q, got %q, %v", sdkCases[i].want, out, err)
	}
}
