package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
)

const extension = ".wasm"

// stillChanging is the problem of a file that may still be being written.
const stillChanging = "changed a moment ago; it is read when it has come to rest"

// look is what was seen of a file the last time.
type look struct {
	info    fs.FileInfo
	since   time.Time // it was seen like that first
	settled bool      // read and judged; until the file changes there is no need to read it again
	moving  bool      // it may still be being written
	plugin  *Plugin
}

// same reports that a file is the one that was seen, unchanged.
func (l *look) same(info fs.FileInfo) bool {
	return l != nil && l.info != nil && os.SameFile(l.info, info) && l.info.Size() == info.Size() && l.info.ModTime().Equal(info.ModTime())
}

// lookAround looks at every file of the plugins folder, in order of name. Plugins that could be used have state Ready,
// all others Broken and a problem. It reports whether anything differs from the last time.
func (r *Registry) lookAround() (found []*Plugin, changed bool, err error) {
	files, err := os.ReadDir(r.cfg.Dir) // sorted
	if err != nil {
		return nil, false, fault.Wrap(err, fault.Internal, "plugin.Rescan", "the plugins folder cannot be read")
	}
	files = slices.DeleteFunc(files, func(f fs.DirEntry) bool {
		return strings.HasPrefix(f.Name(), ".") || filepath.Ext(f.Name()) != extension
	})
	seen := make([]*look, len(files))
	abreast(len(files), func(i int) { seen[i] = r.look(files[i].Name(), r.looks[files[i].Name()]) })
	looks := map[string]*look{}
	for i, l := range seen {
		name := files[i].Name()
		changed = changed || r.looks[name] != l
		looks[name] = l
		found = append(found, l.plugin)
	}
	changed = changed || len(r.looks) != len(looks)
	r.looks = looks
	return found, changed, nil
}

// abreast does n things, as many at once as there are cores.
func abreast(n int, do func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// look looks at one file. A file that changed a moment ago may still be being written: it is only read when it has not
// changed for a while.
func (r *Registry) look(file string, last *look) *look {
	path := filepath.Join(r.cfg.Dir, file)
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a file")
	}
	if err != nil {
		return unreadable(file, last, err)
	}
	if last.same(info) && last.settled {
		return last
	}
	now := &look{info: info, since: r.cfg.Now()}
	rest := now.since.Sub(info.ModTime())
	if last.same(info) {
		rest = max(rest, now.since.Sub(last.since)) // the clock of a file server may be another
		now.since = last.since
	}
	if !r.cfg.Offline && rest < r.cfg.Settle {
		if last.same(info) {
			return last
		}
		now.moving = true
		now.plugin = unusable(file, stillChanging)
		return now
	}
	if info.Size() > abi.LimitModuleBytes {
		now.settled = true
		now.plugin = unusable(file, fmt.Sprintf("has %d bytes, at most %d are allowed", info.Size(), abi.LimitModuleBytes))
		return now
	}
	module, err := readAll(path, abi.LimitModuleBytes)
	if err != nil {
		return unreadable(file, last, err)
	}
	if after, err := os.Stat(path); err != nil || !now.same(after) {
		now.moving = true
		now.plugin = unusable(file, stillChanging)
		return now
	}
	r.judge(now, file, module)
	return now
}

// judge inspects a file and keeps the bytes of a usable one.
func (r *Registry) judge(l *look, file string, module []byte) {
	l.settled = true
	in, err := Inspect(module)
	if err != nil {
		l.plugin = unusable(file, fault.PublicMessage(err))
		describe(l.plugin, in)
		return
	}
	l.plugin = &Plugin{State: Ready, File: file}
	describe(l.plugin, in)
	if r.cfg.Offline {
		return
	}
	if err := r.modules.put(in.Digest, module); err != nil {
		l.settled = false
		l.plugin = unusable(file, "cannot be kept in the data folder: "+err.Error())
		describe(l.plugin, in)
	}
}

// atRest reports that no file is being written.
func (r *Registry) atRest() bool {
	r.scan.Lock()
	defer r.scan.Unlock()
	for _, l := range r.looks {
		if l.moving {
			return false
		}
	}
	return true
}

// unusable is a plugin of which not even the name is known.
func unusable(file, problem string) *Plugin {
	return &Plugin{Name: stem(file), State: Broken, Problem: problem, File: file}
}

// stem is the name of a plugin that only its file names.
func stem(file string) string { return strings.TrimSuffix(file, extension) }

// unreadable says why a file cannot be read, without its path. As long as that is the same, nothing has changed.
func unreadable(file string, last *look, err error) *look {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	problem := "cannot be read: " + err.Error()
	if last != nil && last.plugin.Problem == problem {
		return last
	}
	return &look{plugin: unusable(file, problem)}
}

// Open makes a plugin of a module that nobody installed, as it would be when it was approved. The error is that of Inspect.
func Open(module []byte) (*Plugin, error) {
	in, err := Inspect(module)
	if err != nil {
		return nil, err
	}
	p := &Plugin{State: Ready}
	describe(p, in)
	return p, nil
}

// describe fills what an inspection knows. The manifest gets its defaults.
func describe(p *Plugin, in *Inspection) {
	p.Digest, p.Size = in.Digest, in.Size
	if in.name != "" {
		p.Name = in.name
	}
	if m := in.Manifest; m != nil {
		p.Name, p.Version, p.Kind, p.Manifest = m.Name, m.Version, m.Kind, *abi.ManifestDefaults(m)
	}
	for _, e := range abi.Exports {
		if in.exports(e.Name) {
			p.Exports = append(p.Exports, e.Name)
		}
	}
}
