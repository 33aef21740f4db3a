package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/frigg-host/frigg-host/plugins/sdk/typescript"
)

// Namespaces of esbuild: where a file is.
const (
	inProject = "project"
	inSDK     = "sdk"
)

// maxFileBytes of one source file.
const maxFileBytes = 16 << 20

// files finds and reads what a program imports.
type files struct {
	project fs.FS // ends at the folder of the entry
}

func (f *files) setup(b api.PluginBuild) {
	b.OnResolve(api.OnResolveOptions{Filter: ".*"}, f.resolve)
	b.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: inProject}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		return load(f.project, a.Path)
	})
	b.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: inSDK}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		return load(typescript.Files, a.Path)
	})
}

// resolve finds the file that an import means.
func (f *files) resolve(a api.OnResolveArgs) (api.OnResolveResult, error) {
	from, where := f.project, inProject
	if a.Namespace == inSDK {
		from, where = typescript.Files, inSDK
	}
	switch {
	case strings.HasPrefix(a.Path, "."):
		name, err := file(from, path.Join(path.Dir(a.Importer), a.Path))
		return api.OnResolveResult{Path: name, Namespace: where, SideEffects: sideEffects(where)}, err
	case strings.HasPrefix(a.Path, "node:") || slices.Contains(nodeModules, a.Path):
		return api.OnResolveResult{}, fmt.Errorf("%q is a module of Node.js; a plugin has no files, sockets or processes", a.Path)
	case strings.HasPrefix(a.Path, "/") || strings.Contains(a.Path, ":"):
		return api.OnResolveResult{}, fmt.Errorf("%q is no file below the folder of the entry and no package", a.Path)
	}
	name, pure, err := f.inPackages(path.Dir(a.Importer), a.Path)
	if errors.Is(err, fs.ErrNotExist) && a.Path == typescript.Name {
		return api.OnResolveResult{Path: typescript.Entry, Namespace: inSDK, SideEffects: api.SideEffectsFalse}, nil
	}
	result := api.OnResolveResult{Path: name, Namespace: inProject}
	if pure {
		result.SideEffects = api.SideEffectsFalse
	}
	return result, err
}

// sideEffects of the SDK there are none: what a plugin does not use of it is left out.
func sideEffects(namespace string) api.SideEffects {
	if namespace == inSDK {
		return api.SideEffectsFalse
	}
	return api.SideEffectsTrue
}

// nodeModules are those that programs for Node.js import most, without "node:".
var nodeModules = []string{"fs", "path", "os", "crypto", "http", "https", "net", "tls", "util", "stream", "events", "buffer", "url", "zlib", "child_process", "process", "assert", "querystring"}

// suffixes are tried in order for an import without the extension.
var suffixes = []string{"", ".ts", ".tsx", ".mts", ".js", ".mjs", ".cjs", ".jsx", ".json", "/index.ts", "/index.tsx", "/index.js", "/index.mjs", "/index.cjs"}

// file is the file that a path means: itself, with an extension, the index of a folder, or the source of the JavaScript that
// TypeScript would write there.
func file(from fs.FS, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", fmt.Errorf("%q is outside the folder of the entry", name)
	}
	for _, s := range suffixes {
		if isFile(from, name+s) {
			return name + s, nil
		}
	}
	for js, ts := range map[string]string{".js": ".ts", ".mjs": ".mts", ".jsx": ".tsx"} {
		if stem, ok := strings.CutSuffix(name, js); ok && isFile(from, stem+ts) {
			return stem + ts, nil
		}
	}
	return "", fmt.Errorf("there is no file %q: %w", name, fs.ErrNotExist)
}

func isFile(from fs.FS, name string) bool {
	info, err := fs.Stat(from, name)
	return err == nil && info.Mode().IsRegular()
}

var loaders = map[string]api.Loader{
	".ts": api.LoaderTS, ".mts": api.LoaderTS, ".cts": api.LoaderTS, ".tsx": api.LoaderTSX,
	".js": api.LoaderJS, ".mjs": api.LoaderJS, ".cjs": api.LoaderJS, ".jsx": api.LoaderJSX,
	".json": api.LoaderJSON, ".txt": api.LoaderText,
}

func load(from fs.FS, name string) (api.OnLoadResult, error) {
	loader, ok := loaders[path.Ext(name)]
	if !ok {
		return api.OnLoadResult{}, fmt.Errorf("%s: files of this kind cannot be imported", name)
	}
	text, err := read(from, name)
	return api.OnLoadResult{Contents: &text, Loader: loader}, err
}

// read reads a file of bounded size.
func read(from fs.FS, name string) (string, error) {
	f, err := from.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(b) > maxFileBytes {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFileBytes)
	}
	return string(b), err
}
