package abi

import "slices"

// Bounds of what a sync declares.
const (
	maxSyncPage     = 1000
	maxSyncBatch    = 100
	maxSyncParallel = 16
	minSyncInterval = 60 // seconds
	maxSyncMatch    = 8  // fields
)

func (c *checker) syncs() {
	seen := map[string]bool{}
	for i, s := range c.m.Syncs {
		path := nth("syncs", i)
		c.match(at(path, "name"), s.Name, settingName, settingNameRule)
		c.once(at(path, "name"), s.Name, seen)
		c.said(at(path, "title"), s.Title, "what people read")
		for _, side := range []struct{ field, role string }{{"source", s.Source}, {"target", s.Target}} {
			if !slices.ContainsFunc(c.m.Roles, func(r Role) bool { return r.Name == side.role }) {
				c.add(at(path, side.field), "%q is not declared; add it to `roles`", clip(side.role))
			}
		}
		if len(s.Match) > maxSyncMatch {
			c.add(at(path, "match"), "has more than %d fields", maxSyncMatch)
		}
		fields := map[string]bool{}
		for j, f := range s.Match {
			c.said(nth(at(path, "match"), j), f, "a field of `data`")
			c.once(nth(at(path, "match"), j), f, fields)
		}
		for _, n := range []struct {
			name        string
			value, most int64
		}{{"page_size", s.PageSize, maxSyncPage}, {"batch", s.Batch, maxSyncBatch}, {"parallel", s.Parallel, maxSyncParallel}} {
			if n.value > n.most {
				c.add(at(path, n.name), "must be at most %d", n.most)
			}
		}
		if s.EveryS != 0 && s.EveryS < minSyncInterval {
			c.add(at(path, "every_s"), "must be at least %d", minSyncInterval)
		}
	}
}

func syncDefaults(s *Sync) {
	or(&s.Direction, SyncDirectionOneWay)
	or(&s.PageSize, 100)
	or(&s.Batch, 20)
	or(&s.Parallel, 1)
	or(&s.MaxFailures, 100)
}
