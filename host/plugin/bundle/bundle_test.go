package bundle_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/javascript/javascripttest"
	"github.com/frigg-host/frigg-host/host/plugin/bundle"
)

// project writes files into a folder of their own.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// says builds the entry app.ts and runs what it exports.
func says(t *testing.T, files map[string]string) string {
	t.Helper()
	p, err := bundle.Build(filepath.Join(project(t, files), "app.ts"))
	if err != nil {
		t.Fatal(err)
	}
	return javascripttest.Boot(t, *p).Said("frigg_a", `{}`)
}

func TestBuild_FindsWhatIsImported(t *testing.T) {
	t.Parallel()
	got := says(t, map[string]string{
		"app.ts": `
			import { a } from "./lib/a";            // .ts is added
			import b from "./lib/b.js";             // the TypeScript source of b.js
			import { c } from "./lib";              // index
			import data from "./data.json";
			import text from "./note.txt";
			import plain from "plain";              // main
			import { esm } from "dual";             // the import condition of exports
			import sub from "dual/sub/x";           // a pattern
			import { scoped } from "@scope/pkg";    // module
			import type { T } from "./nowhere";     // types are no imports
			enum E { One = 1 }
			export const frigg_a = async (): Promise<T> => [a, b, c, data.n, text, plain.x, esm, sub, scoped, E.One];`,
		"lib/a.ts":                                      `export const a = "a" as const;`,
		"lib/b.ts":                                      `export default "b";`,
		"lib/index.ts":                                  `export const c = "c";`,
		"data.json":                                     `{"n": 1}`,
		"note.txt":                                      "hi",
		"node_modules/plain/package.json":               `{"main": "./lib/main.js"}`,
		"node_modules/plain/lib/main.js":                `exports.x = require("./x").x`,
		"node_modules/plain/lib/x.js":                   `exports.x = "commonjs"`,
		"node_modules/dual/package.json":                `{"exports": {".": {"types": "./a.d.ts", "require": "./bad.js", "import": "./esm.mjs"}, "./sub/*": {"default": ["./subs/*.js"]}}}`,
		"node_modules/dual/esm.mjs":                     `import "inner"; export const esm = globalThis.inner`,
		"node_modules/dual/subs/x.js":                   `export default "sub"`,
		"node_modules/inner/index.js":                   `globalThis.inner = "outer one"`,
		"node_modules/dual/node_modules/inner/index.js": `globalThis.inner = "inner one"`,
		"node_modules/@scope/pkg/package.json":          `{"module": "m.js", "main": "bad.js", "sideEffects": false}`,
		"node_modules/@scope/pkg/m.js":                  `export const scoped = "scoped"`,
	})
	if want := `{"value":["a","b","c",1,"hi","commonjs","inner one","sub","scoped",1]}`; got != want {
		t.Error(got)
	}
}

func TestBuild_TakesTheSDKAlong(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"app.ts": `import { FriggError } from "@frigg-host/sdk";
		export const frigg_a = () => { throw new FriggError("conflict", "no") };`})
	p, err := bundle.Build(filepath.Join(dir, "app.ts"))
	if err != nil {
		t.Fatal(err)
	}
	if got := javascripttest.Boot(t, *p).Said("frigg_a", `{}`); got != `{"fault":{"kind":"conflict","message":"no"}}` {
		t.Error(got)
	}
	if strings.Contains(p.Source, "storage") {
		t.Error("what is not used is not left out")
	}
	if diff := cmp.Diff([]string{"frigg_a"}, p.Exports); diff != "" {
		t.Error(diff)
	}
}

func TestBuild_ASDKOfTheProjectGoesFirst(t *testing.T) {
	t.Parallel()
	got := says(t, map[string]string{
		"app.ts":                                `import { x } from "@frigg-host/sdk"; export const frigg_a = () => x;`,
		"node_modules/@frigg-host/sdk/index.ts": `export const x = "own"`,
	})
	if got != `{"value":"own"}` {
		t.Error(got)
	}
}

func TestBuild_ExceptionsSayWhereInTheAuthorsFiles(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{
		"app.ts":      "import { storage } from '@frigg-host/sdk';\nimport { boom } from './lib/boom';\n\ninterface A {\n  a: 1;\n}\n\nexport const frigg_a = async (a: A) => {\n  await storage.get('x');\n  boom(a);\n};",
		"lib/boom.ts": "// A comment\ntype B = string;\n\nexport function boom(x: unknown) {\n  throw new RangeError('boom');\n}",
	})
	p, err := bundle.Build(filepath.Join(dir, "app.ts"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.Map, dir) || strings.Contains(p.Source, dir) {
		t.Error("a path of this machine is in the program")
	}
	g := javascripttest.Boot(t, *p)
	_, err = g.Call("frigg_a", `{}`, nil)
	var e *javascript.Exception
	if !errors.As(err, &e) || !strings.Contains(e.Stack, "boom (lib/boom.ts:5)") || !strings.Contains(e.Stack, "frigg_a (app.ts:10)") {
		t.Error(err)
	}
	_, err = g.Call("frigg_a", `{}`, func(string, string) string { return "no JSON" })
	if !errors.As(err, &e) || !strings.Contains(e.Stack, "call (@frigg-host/sdk/frigg.ts:") {
		t.Error(err)
	}
}

func TestBuild_IsReproducible(t *testing.T) {
	t.Parallel()
	files := map[string]string{"app.ts": `import "./a"; import "./b"; export const frigg_a = () => 1; export const frigg_b = frigg_a`, "a.ts": "globalThis.a = 1", "b.ts": "globalThis.b = 1"}
	one, err := bundle.Build(filepath.Join(project(t, files), "app.ts"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := bundle.Build(filepath.Join(project(t, files), "app.ts"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error(diff)
	}
}

func TestBuild_SaysWhereAProblemIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"syntax":         {map[string]string{"app.ts": "export const\n  frigg_a = = 1"}, "app.ts:2:13: Unexpected \"=\"\n    frigg_a = = 1"},
		"in a package":   {map[string]string{"app.ts": `import "p"`, "node_modules/p/index.js": "let x = ;"}, "node_modules/p/index.js:1:9: Unexpected"},
		"missing file":   {map[string]string{"app.ts": `export { a } from "./a"`}, `app.ts:1:19: there is no file "a"`},
		"missing name":   {map[string]string{"app.ts": "import { a } from './a'; export const frigg_a = a", "a.ts": "export {}"}, `app.ts:1:10: No matching export in "project:a.ts" for import "a"`},
		"missing pkg":    {map[string]string{"app.ts": `import a from "left-pad"; a()`}, `app.ts:1:15: there is no package "left-pad"`},
		"not exported":   {map[string]string{"app.ts": `import "p/x"`, "node_modules/p/package.json": `{"exports": "./i.js"}`}, `it does not export "./x"`},
		"bad package":    {map[string]string{"app.ts": `import "p"`, "node_modules/p/package.json": `{`}, "node_modules/p/package.json"},
		"node":           {map[string]string{"app.ts": `export { open } from "node:fs"`}, `"node:fs" is a module of Node.js`},
		"node, old":      {map[string]string{"app.ts": `require("fs")`}, `"fs" is a module of Node.js`},
		"address":        {map[string]string{"app.ts": `import "https://example.com/x.js"`}, "no file below the folder of the entry"},
		"absolute":       {map[string]string{"app.ts": `import "/etc/passwd"`}, "no file below the folder of the entry"},
		"kind of file":   {map[string]string{"app.ts": `import "./a.css"`, "a.css": ""}, "files of this kind cannot be imported"},
		"no exports":     {map[string]string{"app.ts": `export const helper = 1`}, "app.ts: it exports no function of the contract"},
		"outside":        {map[string]string{"app.ts": `import "../secret.ts"`}, "outside the folder of the entry"},
		"outside by pkg": {map[string]string{"app.ts": `import "p"`, "node_modules/p/package.json": `{"main": "../../../secret.ts"}`}, "has no file"},
		"by name":        {map[string]string{"app.ts": `import "../project/a"`, "a.ts": ""}, "outside the folder of the entry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, c.files)
			if err := os.WriteFile(filepath.Join(dir, "..", "secret.ts"), []byte("leak"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := bundle.Build(filepath.Join(dir, "app.ts"))
			if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.PublicMessage(err), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestBuild_FollowsNoLinkOutOfTheFolder(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"app.ts": `import "./link"; import "./folder/secret"; export const frigg_a = 1`})
	if err := os.WriteFile(filepath.Join(dir, "..", "secret.ts"), []byte("leak"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"link.ts": "../secret.ts", "folder": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := bundle.Build(filepath.Join(dir, "app.ts"))
	if err == nil || strings.Contains(err.Error(), "leak") || !strings.Contains(err.Error(), `no file "link"`) || !strings.Contains(err.Error(), `no file "folder/secret"`) {
		t.Error(err)
	}
}

// A configuration of TypeScript above or in the folder changes nothing: the same files are the same program everywhere.
func TestBuild_ReadsNoConfiguration(t *testing.T) {
	t.Parallel()
	got := says(t, map[string]string{
		"app.ts":        `class A { x = 1 } export const frigg_a = () => Object.keys(new A())`,
		"tsconfig.json": `{"compilerOptions": {"target": "es3"`,
		"package.json":  `{`,
	})
	if got != `{"value":["x"]}` {
		t.Error(got)
	}
}
