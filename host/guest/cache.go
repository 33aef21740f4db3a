package guest

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/frigg-host/frigg-host/host/fault"
)

// newCache opens the compile cache in dir, or one in memory.
func newCache(dir string) (wazero.CompilationCache, error) {
	if dir == "" {
		return wazero.NewCompilationCache(), nil
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, cacheFault("guest.Open", err)
	}
	return cache, nil
}

func isCacheError(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	return err != nil && (errors.As(err, &path) || errors.As(err, &link) || strings.HasPrefix(err.Error(), "compilationcache: "))
}

// cacheFault leaves out where the cache is: that is no business of whoever reads the error.
func cacheFault(op string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		err = link.Err
	}
	return &fault.Error{
		Kind: fault.Unavailable, Side: fault.Host, Op: op, Msg: "the cache of compiled modules cannot be used",
		Err: &stop{reason: ReasonHost, detail: err.Error()},
	}
}

// emptyCache removes what wazero wrote, and nothing else.
func emptyCache(dir string) {
	if dir == "" {
		return
	}
	files, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	for _, f := range files {
		_ = os.Remove(f)
	}
}

// TrimCache removes the oldest compiled code in dir when there is more than most bytes of it, until a quarter is free.
// Everything in a cache can be made again. The caches of child processes are in folders of their own below "apart".
func TrimCache(dir string, most uint64) {
	if dir == "" {
		return
	}
	type entry struct {
		name string
		size uint64
		made time.Time
	}
	var all []entry
	var total uint64
	files, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	apart, _ := filepath.Glob(filepath.Join(dir, "apart", "*", "wazero-*", "*"))
	for _, f := range append(files, apart...) {
		if info, err := os.Stat(f); err == nil {
			all = append(all, entry{f, uint64(info.Size()), info.ModTime()})
			total += uint64(info.Size())
		}
	}
	if total <= most {
		return
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(a.made.Compare(b.made), cmp.Compare(a.name, b.name)) })
	for _, e := range all {
		if total <= most/4*3 {
			return
		}
		if os.Remove(e.name) == nil {
			total -= e.size
		}
	}
}
