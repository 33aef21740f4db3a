// Package bundle makes one JavaScript program of the files of a plugin in TypeScript or JavaScript, with esbuild.
//
// Of the disk it sees the folder of the entry and what is below it, node_modules included; links out of it are not followed,
// and there is no network. Imports are found here and not by esbuild, so that this is all that is ever read. The SDK is part of
// the program: `@frigg-host/sdk` needs no installation. Types are removed and not checked.
package bundle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
	"github.com/frigg-host/frigg-host/plugins/sdk/typescript"
)

// exportPrefix starts the names that the host knows; all else that an entry exports is for its own tests.
const exportPrefix = "frigg_"

// maxErrors are shown at most.
const maxErrors = 20

// outfile names the program among esbuild's results; nothing is written.
const outfile = "plugin.js"

// Extensions of entries.
var Extensions = []string{".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs"}

// Is reports whether a file is an entry, by its name.
func Is(file string) bool {
	for _, e := range Extensions {
		if strings.HasSuffix(file, e) {
			return true
		}
	}
	return false
}

// Build bundles the program whose entry is a file. Errors are Invalid and list what is wrong, a line for each, starting with
// file:line:column.
func Build(entry string) (*quickjs.Program, error) {
	root, err := os.OpenRoot(filepath.Dir(entry))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "bundle.Build", "the folder of the entry cannot be read")
	}
	defer root.Close()
	files := &files{project: root.FS()}
	result := api.Build(api.BuildOptions{
		EntryPoints:   []string{"./" + filepath.Base(entry)},
		Outfile:       outfile,
		Bundle:        true,
		Write:         false,
		Format:        api.FormatESModule,
		Platform:      api.PlatformNeutral,
		Target:        api.ES2023,
		TreeShaking:   api.TreeShakingTrue,
		Charset:       api.CharsetUTF8,
		LegalComments: api.LegalCommentsInline,
		Metafile:      true,
		Sourcemap:     api.SourceMapExternal,
		// The map is for places, not for the text of the files.
		SourcesContent: api.SourcesContentExclude,
		LogLevel:       api.LogLevelSilent,
		LogLimit:       maxErrors,
		TsconfigRaw:    `{"compilerOptions":{"verbatimModuleSyntax":false}}`, // and no file
		Plugins:        []api.Plugin{{Name: "files", Setup: files.setup}},
	})
	if len(result.Errors) > 0 {
		return nil, fault.New(fault.Invalid, "bundle.Build", "%s", problems(result.Errors))
	}
	exports, err := exportsOf(result.Metafile)
	if err != nil {
		return nil, fault.New(fault.Internal, "bundle.Build", "the bundle cannot be read").With(err)
	}
	if len(exports) == 0 {
		return nil, fault.New(fault.Invalid, "bundle.Build", "%s: it exports no function of the contract; export frigg_handle_event, for example", filepath.Base(entry))
	}
	p := quickjs.New(exports, "")
	for _, f := range result.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			p.Map = names.Replace(string(f.Contents))
		} else {
			p.Source = string(f.Contents)
		}
	}
	return &p, nil
}

// names turns esbuild's names of files in a map into those that authors know.
var names = strings.NewReplacer(`"`+inProject+`:`, `"`, `"`+inSDK+`:`, `"`+typescript.Name+`/`)

// exportsOf are the names that the entry exports, as esbuild describes them.
func exportsOf(metafile string) ([]string, error) {
	var meta struct {
		Outputs map[string]struct{ Exports []string }
	}
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return nil, err
	}
	var names []string
	for _, name := range meta.Outputs[outfile].Exports {
		if strings.HasPrefix(name, exportPrefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

// problems writes what esbuild says.
func problems(all []api.Message) string {
	lines := make([]string, 0, len(all))
	for _, m := range all[:min(len(all), maxErrors)] {
		text := m.Text
		if at := m.Location; at != nil {
			_, file, _ := strings.Cut(at.File, ":") // of the namespace
			text = fmt.Sprintf("%s:%d:%d: %s", file, at.Line, at.Column+1, text)
			if at.LineText != "" {
				text += "\n    " + strings.TrimSpace(at.LineText)
			}
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n")
}
