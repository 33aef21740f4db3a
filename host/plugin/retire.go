package plugin

import (
	"context"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

const (
	// keptLoaded is how many versions of one plugin stay loaded after they served, at most as long as Linger.
	keptLoaded = 3
	// keptBytes is how many versions of one plugin stay on disk after they were unloaded, and for at least as long as Linger.
	keptBytes = 8
)

// retired is a version that is not loaded any more. Work that still needs it loads it again.
type retired struct {
	digest Digest
	at     time.Time
	again  bool // unloaded again, for a call that began late and loaded it
}

// retire frees what does not serve any more, some time later: calls are about to begin that were told of it.
func (r *Registry) retire(ctx context.Context, v *view) {
	wanted := map[Digest]bool{}
	for _, e := range v.entries {
		wanted[e.Plugin.Digest] = e.Serving || e.Plugin.State != NeedsApproval
	}
	now := r.cfg.Now()
	idle := map[string][]*load{}
	for d, l := range r.loads {
		switch {
		case !l.ended:
		case wanted[d]:
			l.idle = time.Time{}
		case l.err != nil:
			delete(r.loads, d)
		default:
			if l.idle.IsZero() {
				l.idle = now
			}
			idle[l.plugin.Name] = append(idle[l.plugin.Name], l)
		}
	}
	for name, loads := range idle {
		slices.SortFunc(loads, func(a, b *load) int { return a.idle.Compare(b.idle) })
		for i, l := range loads {
			if len(loads)-i > keptLoaded || now.Sub(l.idle) >= r.cfg.Linger {
				r.cfg.Loader.Unload(ctx, l.plugin.Digest)
				delete(r.loads, l.plugin.Digest)
				r.past[name] = append(r.past[name], retired{digest: l.plugin.Digest, at: now})
			}
		}
	}
	for _, past := range r.past {
		for i, p := range past {
			if !p.again && now.Sub(p.at) >= r.cfg.Linger {
				if past[i].again = true; r.loads[p.digest] == nil {
					r.cfg.Loader.Unload(ctx, p.digest)
				}
			}
		}
	}
	r.discard(ctx, v, now)
}

// discard removes the bytes of versions that were followed by many others. Prune removes the rest.
func (r *Registry) discard(ctx context.Context, v *view, now time.Time) {
	var needed map[Digest]bool
	for name, past := range r.past {
		for len(past) > keptBytes && now.Sub(past[0].at) >= r.cfg.Linger {
			if needed == nil {
				var err error
				if needed, err = r.neededNow(ctx, v); err != nil {
					r.cfg.Log.Error("old modules are kept: what is in use cannot be read", "op", "plugin.discard", "err", fault.PublicMessage(err))
					return
				}
			}
			d := past[0].digest
			past = past[1:]
			if needed[d] || r.loads[d] != nil || slices.ContainsFunc(past, func(p retired) bool { return p.digest == d }) {
				continue
			}
			if err := r.modules.remove(d); err != nil {
				r.cfg.Log.Error("an old module cannot be removed", "plugin", name, "op", "plugin.discard", "err", fault.PublicMessage(err))
			}
			r.drop(d)
		}
		r.past[name] = past
	}
}

// drop forgets a version whose bytes are gone.
func (r *Registry) drop(d Digest) {
	delete(r.dev, d)
	r.mu.Lock()
	delete(r.versions, d)
	r.mu.Unlock()
}
