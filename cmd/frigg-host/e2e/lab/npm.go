//go:build linux || darwin

package lab

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// npmPackage is a server from the npm registry: a folder of ours with its package.json, and with the lock file that pins what
// it needs unless that is too much to keep.
type npmPackage struct {
	files   embed.FS
	folder  string
	name    string
	version string
}

// install puts the packages into dir and runs no script of any.
func (p npmPackage) install(ctx context.Context, dir string) error {
	verb := "install"
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := p.files.ReadFile(path.Join(p.folder, name))
		if err != nil {
			continue
		}
		if name == "package-lock.json" {
			verb = "ci"
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	_, err := run(ctx, dir, nil, "npm", verb, "--ignore-scripts", "--no-audit", "--no-fund")
	return err
}

// check tells whether dir was installed from these files and has the version.
func (p npmPackage) check(dir string) error {
	if lock, err := p.files.ReadFile(path.Join(p.folder, "package-lock.json")); err == nil {
		if used, err := os.ReadFile(filepath.Join(dir, "package-lock.json")); err != nil || !bytes.Equal(used, lock) {
			return fmt.Errorf("%s was installed from another lock file", dir)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "node_modules", p.name, "package.json"))
	if err != nil {
		return err
	}
	var found struct{ Version string }
	if err := json.Unmarshal(text, &found); err != nil {
		return err
	}
	if found.Version != p.version {
		return fmt.Errorf("want %s %s, found %s", p.name, p.version, found.Version)
	}
	return nil
}

// unpack writes the folder's other files to dir, with words replaced.
func (p npmPackage) unpack(dir string, words map[string]string) error {
	entries, err := fs.ReadDir(p.files, p.folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "package.json" || e.Name() == "package-lock.json" {
			continue
		}
		text, err := p.files.ReadFile(path.Join(p.folder, e.Name()))
		if err != nil {
			return err
		}
		for from, to := range words {
			text = bytes.ReplaceAll(text, []byte(from), []byte(to))
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// npmTools are what installing needs.
func npmTools(context.Context) []tool {
	return []tool{{"node", "npm runs on it"}, {"npm", "it fetches the server"}}
}
