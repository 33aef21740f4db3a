package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/host/guest"
)

type callCmd struct {
	File      string        `arg:"" help:"The .wasm file." type:"existingfile"`
	Export    string        `arg:"" help:"Name of the exported function (Extism convention: no parameters)."`
	Input     string        `help:"Input as text." xor:"input"`
	InputFile string        `help:"File with the input; - is standard input." xor:"input"`
	Timeout   time.Duration `help:"Stop the guest after this long." default:"30s"`
	Memory    uint64        `help:"Largest linear memory in bytes." default:"134217728"`
	Engine    string        `help:"Engine to use: ${enum}." enum:"native,extism" default:"native"`
	Repeat    int           `help:"Call so many times, each with a clean instance; the last output counts." default:"1"`
	JSON      bool          `help:"Print output and figures as JSON." name:"json"`
}

// Help has the examples of `plugin call --help`.
func (callCmd) Help() string {
	return `The guest gets no capability: it can compute, and nothing else. Standard output is the guest's output and nothing else; its log goes to standard error.

Exit codes: 0 fine, 1 the guest's own error, 2 usage, 3 stopped by a limit, 4 not a usable module.

Examples:
  frigg-host plugin call count_vowels.wasm count_vowels --input "hello world"
  frigg-host plugin call big.wasm run --input-file - --timeout 2s --memory 67108864 < data.json
  frigg-host plugin call app.wasm work --repeat 100 --json`
}

// leastMemory is a page.
const leastMemory = 64 << 10

// figures are what --json prints.
type figures struct {
	Output      *string `json:"output,omitempty"`        // when it is UTF-8
	OutputBytes []byte  `json:"output_base64,omitempty"` // otherwise
	Engine      string  `json:"engine"`
	Calls       int     `json:"calls"`
	CompileMS   float64 `json:"compile_ms"`
	CallMS      float64 `json:"call_ms"` // the last one
	MemoryBytes uint64  `json:"memory_bytes"`
	Fuel        int64   `json:"fuel"` // units of computing, the last call's
	Isolation   string  `json:"isolation"`
	Why         string  `json:"isolation_why,omitempty"`
	LogDropped  int     `json:"log_dropped,omitempty"`
	Error       string  `json:"error,omitempty"`
	Reason      string  `json:"reason,omitempty"`
}

func (c *callCmd) Run(ctx context.Context, s streams) error {
	if c.Repeat < 1 {
		return &exitError{exitUsage, "--repeat must be at least 1"}
	}
	if c.Timeout <= 0 {
		return &exitError{exitUsage, "--timeout must be more than 0"}
	}
	if c.Memory < leastMemory {
		return &exitError{exitUsage, fmt.Sprintf("--memory must be at least %d, one page of WebAssembly", leastMemory)}
	}
	input, err := c.input(s)
	if err != nil {
		return &exitError{exitUsage, err.Error()}
	}
	wasm, err := os.ReadFile(c.File)
	if err != nil {
		return &exitError{exitUnusable, err.Error()}
	}
	engine, err := guest.Open(ctx, c.Engine, guest.Config{Imports: guest.Imports(), CacheDir: compileCache(), MemoryCeiling: c.Memory})
	if err != nil {
		return err
	}
	defer engine.Close(context.WithoutCancel(ctx))
	f := figures{Engine: engine.Name()}
	err = c.call(ctx, s, engine, wasm, input, &f)
	if c.JSON {
		return c.print(s, f, err)
	}
	if err != nil {
		return &exitError{exitCode(err), c.why(err)}
	}
	_, err = s.out.Write(f.OutputBytes)
	return err
}

// call compiles the module and calls it as often as asked.
func (c *callCmd) call(ctx context.Context, s streams, engine guest.Engine, wasm, input []byte, f *figures) error {
	start := time.Now()
	module, err := engine.Compile(ctx, wasm)
	f.CompileMS = milliseconds(time.Since(start))
	if err != nil {
		return err
	}
	defer module.Close(context.WithoutCancel(ctx))
	d := module.Describe()
	f.Isolation, f.Why = string(d.Isolation), d.Why
	for range c.Repeat {
		result, err := module.Call(ctx, guest.Call{
			Plugin: filepath.Base(c.File), Export: c.Export, Input: input,
			Limits: guest.Limits{Timeout: c.Timeout, MemoryBytes: c.Memory},
			Log:    func(l guest.Level, msg string) { fmt.Fprintf(s.err, "%s: %s\n", l, msg) },
		})
		f.Calls++
		f.CallMS, f.Fuel, f.MemoryBytes, f.LogDropped, f.OutputBytes = milliseconds(result.Duration), result.Fuel, result.MemoryBytes, result.LogDropped, result.Output
		s.err.Write(result.Console)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *callCmd) print(s streams, f figures, err error) error {
	if utf8.Valid(f.OutputBytes) && err == nil {
		text := string(f.OutputBytes)
		f.Output, f.OutputBytes = &text, nil
	}
	if err != nil {
		f.Error, f.Reason = c.why(err), string(guest.ReasonOf(err))
	}
	if printed := printJSON(s.out, f); printed != nil || err == nil {
		return printed
	}
	return &exitError{code: exitCode(err)}
}

// why names the file, also where the module was refused before it had a name.
func (c *callCmd) why(err error) string {
	if guest.ReasonOf(err).Unusable() {
		return filepath.Base(c.File) + ": " + operatorText(err)
	}
	return operatorText(err)
}

func (c *callCmd) input(s streams) ([]byte, error) {
	switch c.InputFile {
	case "":
		return []byte(c.Input), nil
	case "-":
		return io.ReadAll(s.in)
	}
	return os.ReadFile(c.InputFile)
}

func exitCode(err error) int {
	switch r := guest.ReasonOf(err); {
	case r.Limit():
		return exitLimit
	case r == guest.ReasonExport:
		return exitUsage
	case r.Unusable():
		return exitUnusable
	}
	return exitFailed
}

// compileCache keeps compiled code between calls; without a home folder that can be written to it is in memory.
func compileCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	dir = filepath.Join(dir, "frigg-host", "compiled")
	if os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	return dir
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
