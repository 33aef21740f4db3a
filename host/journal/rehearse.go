package journal

import (
	"context"
	"regexp"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Rehearsal says how a version of a plugin behaves on the records of earlier runs.
type Rehearsal struct {
	Runs, Same int // Runs counts those that could be repeated
	Unreadable []job.ID
	// Unlike are the others, by where they first differ.
	Unlike []*Unlike
}

// Unlike are runs that differ in the same way.
type Unlike struct {
	Difference // of the first one
	Runs       []job.ID
}

// Rehearse repeats the last runs that ended well of the plugin with the name of p, of all owners, with p. Nothing is sent
// and nothing is written.
func (s *Service) Rehearse(ctx context.Context, caller plugin.Caller, p *plugin.Plugin, last int) (*Rehearsal, error) {
	runs, err := s.All(ctx, Filter{Plugin: p.Name, States: []job.State{job.Done}}, last)
	if err != nil {
		return nil, err
	}
	out := &Rehearsal{}
	groups := map[string]*Unlike{}
	for _, run := range runs {
		log, err := s.read(ctx, run.Owner, run.ID, nil)
		if err != nil && ctx.Err() == nil {
			out.Unreadable = append(out.Unreadable, run.ID)
			continue
		}
		if err != nil {
			return nil, err
		}
		t := log.Last()
		if t == nil {
			continue
		}
		out.Runs++
		d, err := rehearse(ctx, caller, p, t)
		switch {
		case err != nil:
			return nil, err
		case d == nil:
			out.Same++
		default:
			out.differ(groups, run.ID, d)
		}
	}
	return out, nil
}

func rehearse(ctx context.Context, caller plugin.Caller, p *plugin.Plugin, t *Try) (*Difference, error) {
	r, err := Repeat(ctx, caller, p, t, nil)
	if err != nil {
		return nil, fault.Wrap(err, fault.KindOf(err), "journal.Rehearse", "version "+p.Version+" of "+p.Name+" cannot run: "+fault.PublicMessage(err))
	}
	return r.Difference, nil
}

// changing is what sets two differences of the same cause apart.
var changing = regexp.MustCompile(`[0-9a-f-]{16,}|[0-9]+`)

func (r *Rehearsal) differ(groups map[string]*Unlike, id job.ID, d *Difference) {
	key := changing.ReplaceAllString(d.Recorded+"\n"+d.Now, "#")
	g := groups[key]
	if g == nil {
		g = &Unlike{Difference: *d}
		groups[key] = g
		r.Unlike = append(r.Unlike, g)
	}
	g.Runs = append(g.Runs, id)
}
