package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// manifest is what a package.json says of the files to import. The rest is not our business.
type manifest struct {
	Exports     json.RawMessage
	Module      string
	Main        string
	SideEffects any
}

// conditions of exports that hold for a plugin.
var conditions = []string{"import", "module", "worker", "default"}

// inPackages finds an import by name in node_modules, of the importer's folder and those above it. Pure means that nothing but
// what it exports matters.
func (f *files) inPackages(dir, name string) (found string, pure bool, err error) {
	pkg, sub := split(name)
	for {
		home := path.Join(dir, "node_modules", pkg)
		if info, err := fs.Stat(f.project, home); err == nil && info.IsDir() {
			return f.inPackage(home, sub)
		}
		if dir == "." {
			return "", false, fmt.Errorf("there is no package %q in node_modules below the folder of the entry: %w", pkg, fs.ErrNotExist)
		}
		dir = path.Dir(dir)
	}
}

// split cuts the name of a package from what is imported of it, which is "." or starts with "./".
func split(name string) (pkg, sub string) {
	parts := strings.SplitN(name, "/", 3)
	n := 1
	if strings.HasPrefix(name, "@") {
		n = 2
	}
	n = min(n, len(parts))
	pkg = strings.Join(parts[:n], "/")
	return pkg, "." + strings.TrimPrefix(name, pkg)
}

func (f *files) inPackage(home, sub string) (string, bool, error) {
	var m manifest
	if text, err := read(f.project, path.Join(home, "package.json")); err == nil {
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return "", false, fmt.Errorf("%s/package.json: %w", home, err)
		}
	}
	pure := m.SideEffects == false
	if len(m.Exports) > 0 {
		target, err := exported(m.Exports, sub)
		if err != nil {
			return "", false, fmt.Errorf("%s/package.json: %w", home, err)
		}
		name, err := file(f.project, path.Join(home, target))
		return name, pure, err
	}
	for _, target := range []string{m.Module, m.Main, "index"} {
		if sub != "." {
			target = sub
		}
		if target == "" {
			continue
		}
		if name, err := file(f.project, path.Join(home, target)); err == nil {
			return name, pure, nil
		}
	}
	return "", false, fmt.Errorf("%s has no file for %q", home, sub)
}

// exported finds a subpath in the exports of a package.json (https://nodejs.org/api/packages.html#package-entry-points).
func exported(exports json.RawMessage, sub string) (string, error) {
	entries, err := ordered(exports)
	if err != nil || len(entries) == 0 || !strings.HasPrefix(entries[0].key, ".") {
		if sub != "." {
			return "", fmt.Errorf("it does not export %q", sub)
		}
		return target(exports, "")
	}
	best := -1
	for i, e := range entries {
		if e.key == sub {
			return target(e.value, "")
		}
		before, after, star := strings.Cut(e.key, "*")
		if star && len(sub) >= len(before)+len(after) && strings.HasPrefix(sub, before) && strings.HasSuffix(sub, after) &&
			(best < 0 || len(before) > strings.IndexByte(entries[best].key, '*')) {
			best = i
		}
	}
	if best < 0 {
		return "", fmt.Errorf("it does not export %q", sub)
	}
	before, after, _ := strings.Cut(entries[best].key, "*")
	return target(entries[best].value, sub[len(before):len(sub)-len(after)])
}

// target is the path of an export, with the star filled in: a string, the first condition that holds, or the first of a list.
func target(value json.RawMessage, star string) (string, error) {
	var text string
	if json.Unmarshal(value, &text) == nil && strings.HasPrefix(text, "./") {
		return strings.ReplaceAll(text, "*", star), nil
	}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) == nil {
		for _, v := range list {
			if t, err := target(v, star); err == nil {
				return t, nil
			}
		}
	}
	entries, _ := ordered(value)
	for _, e := range entries {
		if slices.Contains(conditions, e.key) {
			if t, err := target(e.value, star); err == nil {
				return t, nil
			}
		}
	}
	return "", fmt.Errorf("it has no file for plugins (conditions %s)", strings.Join(conditions, ", "))
}

type entry struct {
	key   string
	value json.RawMessage
}

// ordered are the fields of an object in their order, which decides between conditions.
func ordered(object json.RawMessage) ([]entry, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("it is no object")
	}
	var all []entry
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		e := entry{key: key.(string)}
		if err := dec.Decode(&e.value); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}
