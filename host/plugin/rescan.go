package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Grant.By of who is no person.
const (
	DevGrantor    = "development mode"
	ConfigGrantor = "configuration"
)

// round is one look and the decisions that follow from it, also later, when versions have been loaded.
type round struct {
	*Registry
	files    map[string][]*Plugin // by plugin, as far as their names are known
	grants   map[Digest]*Grant
	latest   map[string]*Grant // by name, of those on record
	installs map[string]*Install
	decided  map[string][]Entry
	failed   error // of the store
}

// Rescan looks at the folder and at the grants, and decides which versions serve from now on. It waits until what is new
// is compiled, so it may take seconds; calls go on meanwhile, and each version serves as soon as it can. The error says
// that folder or store could not be read or written: what served before goes on serving.
func (r *Registry) Rescan(ctx context.Context) error {
	if err := r.review(ctx, true); err != nil {
		return err
	}
	return r.await(ctx, func(*load) bool { return true })
}

// rescanFor is Rescan for one plugin: it does not wait for others.
func (r *Registry) rescanFor(ctx context.Context, name string) error {
	if err := r.review(ctx, true); err != nil {
		return err
	}
	return r.await(ctx, func(l *load) bool { return l.plugin.Name == name })
}

// review looks at the folder and decides what can be decided now. Unless always is set it does nothing more when no file
// has changed.
func (r *Registry) review(ctx context.Context, always bool) error {
	r.scan.Lock()
	defer r.scan.Unlock()
	found, changed, err := r.lookAround()
	if err != nil || !changed && !always {
		return err
	}
	w := &round{Registry: r, decided: map[string][]Entry{}}
	if err := w.recall(ctx); err != nil {
		return err
	}
	r.again()
	r.round = w
	w.files = w.byName(found)
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		w.decide(ctx, name)
	}
	w.forget(ctx)
	w.publish(ctx)
	return w.failed
}

// publish lets what was decided be seen.
func (w *round) publish(ctx context.Context) {
	next := &view{serving: map[string]*Plugin{}, grants: w.grants}
	for _, name := range slices.Sorted(maps.Keys(w.decided)) {
		for _, e := range w.decided[name] {
			if next.entries = append(next.entries, e); e.Serving {
				next.serving[name] = e.Plugin
			}
		}
	}
	old := w.view.Swap(next)
	w.retire(ctx, next)
	w.report(old, next)
}

// recall reads what was decided before.
func (w *round) recall(ctx context.Context) error {
	grants, err := w.cfg.Store.PluginGrants(ctx)
	if err != nil {
		return err
	}
	installs, err := w.cfg.Store.PluginInstalls(ctx)
	if err != nil {
		return err
	}
	w.grants, w.latest, w.installs = maps.Clone(w.dev), map[string]*Grant{}, map[string]*Install{}
	for _, g := range grants {
		w.grants[g.Digest] = g
		if last := w.latest[g.Name]; last == nil || g.At.After(last.At) {
			w.latest[g.Name] = g
		}
	}
	for _, in := range installs {
		w.installs[in.Name] = in
	}
	return nil
}

// byName groups files, in their order. A file whose plugin cannot be made out belongs to the name that it served before.
func (w *round) byName(found []*Plugin) map[string][]*Plugin {
	names := map[string][]*Plugin{}
	for _, p := range found {
		if p.State == Broken && p.Name == stem(p.File) {
			for _, in := range w.installs {
				if in.File == p.File {
					p = alter(p, func(p *Plugin) { p.Name = in.Name })
				}
			}
		}
		names[p.Name] = append(names[p.Name], p)
	}
	return names
}

// alter changes a copy.
func alter(p *Plugin, change func(*Plugin)) *Plugin {
	c := *p
	change(&c)
	return &c
}

// decide judges the files of one name: one of them counts. While it cannot serve, what served before goes on.
func (w *round) decide(ctx context.Context, name string) {
	files := w.files[name]
	chosen := w.choose(files)
	var waiting []Entry
	var rivals []string
	for _, p := range files {
		switch {
		case p == chosen:
		case p.State == Broken:
			waiting = append(waiting, Entry{Plugin: p})
		default:
			rivals = append(rivals, p.File)
			waiting = append(waiting, Entry{Plugin: broken(p, fmt.Sprintf("%s and %s are both plugin %s; %s counts, remove one of them",
				chosen.File, p.File, name, chosen.File))})
		}
	}
	var e Entry
	if chosen != nil {
		if e = w.admit(ctx, chosen); !e.Serving {
			waiting = append(waiting, alsoNamed(e, rivals))
		}
	}
	if !e.Serving {
		var lost *Plugin
		if e, lost = w.previous(name, chosen); lost != nil {
			waiting = append(waiting, Entry{Plugin: lost})
		}
	}
	var entries []Entry
	if e.Serving {
		entries = append(entries, e)
	}
	slices.SortStableFunc(waiting, func(a, b Entry) int { return cmp.Compare(order(a), order(b)) })
	for _, o := range waiting {
		if e.Serving && (o.Plugin.State == NeedsApproval || o.Plugin.State == Loading) {
			o.Plugin = alter(o.Plugin, func(p *Plugin) { p.Problem += fmt.Sprintf("; version %s goes on serving meanwhile", e.Plugin.Version) })
		}
		entries = append(entries, o)
	}
	w.decided[name] = entries
}

// choose finds the file that counts under a name. It is the one that serves as long as it is there, usable or not:
// whoever can add a file to the folder does not take a name over with it, not even while a copy is under way. Else it is
// the first that somebody granted, else the first that is usable; nil when none is.
func (w *round) choose(files []*Plugin) *Plugin {
	first := func(counts func(*Plugin) bool) *Plugin {
		if i := slices.IndexFunc(files, counts); i >= 0 {
			return files[i]
		}
		return nil
	}
	usable := func(p *Plugin) bool { return p.State == Ready }
	return cmp.Or(
		first(w.inPlace),
		first(func(p *Plugin) bool { return usable(p) && w.consented(p) }),
		first(usable))
}

// consented reports whether exactly these bytes were granted.
func (w *round) consented(p *Plugin) bool {
	return w.grants[p.Digest] != nil || slices.Contains(w.cfg.Granted, p.Digest)
}

// inPlace reports whether a file is the one from which its name was served before.
func (w *round) inPlace(p *Plugin) bool {
	in := w.installs[p.Name]
	return in != nil && in.File == p.File
}

// alsoNamed warns whoever is asked to approve a file that others have its name too.
func alsoNamed(e Entry, rivals []string) Entry {
	if e.Plugin.State == NeedsApproval && len(rivals) > 0 {
		e.Rivals = rivals
		e.Plugin = alter(e.Plugin, func(p *Plugin) {
			p.Problem += fmt.Sprintf("; look closely which file this is: %s says that it is %s too", strings.Join(rivals, ", "), p.Name)
		})
	}
	return e
}

// order puts what an operator can act on first.
func order(e Entry) int {
	if e.Plugin.State == NeedsApproval {
		return 0
	}
	return 1
}

// admit lets a version serve if it is usable, was granted what it asks for, can be loaded, and that is on record.
func (w *round) admit(ctx context.Context, p *Plugin) Entry {
	if p.State == Broken {
		return Entry{Plugin: p}
	}
	grant, fresh := w.grant(p)
	missing := MissingFrom(&p.Manifest, cmp.Or(grant, w.before(p)))
	if grant == nil || !missing.None() {
		return Entry{Missing: missing, Plugin: alter(p, func(p *Plugin) {
			p.State, p.Problem = NeedsApproval, fmt.Sprintf("waits for approval%s; run `frigg-host plugin approve %s`", asking(missing), p.Name)
		})}
	}
	switch ended, err := w.load(p); {
	case err != nil:
		return Entry{Plugin: w.unloadable(p, err)}
	case !ended && !w.onRecord(p):
		return Entry{Plugin: alter(p, func(p *Plugin) { p.State, p.Problem = Loading, "is being compiled" })}
	}
	if err := w.record(ctx, p, fresh); err != nil {
		w.failed = err
		return Entry{Plugin: broken(p, "cannot be put on record: "+reason(err))}
	}
	return Entry{Plugin: p, Serving: true}
}

func asking(m Missing) string {
	if m.None() {
		return ""
	}
	return ": it asks for " + m.String()
}

// reason is what an operator reads of an error; it never holds a cause.
func reason(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Msg
	}
	return fault.PublicMessage(err)
}

func broken(p *Plugin, problem string) *Plugin {
	return alter(p, func(p *Plugin) { p.State, p.Problem = Broken, problem })
}

// grant finds the consent to a version. fresh is one to put on record: the configuration has it, or it carries over what
// the version was granted that served from the same file, which allows as much. Bytes in a file of another name are somebody else's until approved.
func (w *round) grant(p *Plugin) (grant, fresh *Grant) {
	if g := w.grants[p.Digest]; g != nil {
		return g, nil
	}
	now := w.cfg.Now().UTC().Truncate(time.Microsecond)
	if w.consented(p) {
		fresh = &Grant{Name: p.Name, Digest: p.Digest, Ask: AskOf(&p.Manifest), By: ConfigGrantor, At: now}
		return fresh, fresh
	}
	if g := w.inherited(p); g != nil && MissingFrom(&p.Manifest, g).None() {
		fresh = &Grant{Name: p.Name, Digest: p.Digest, Ask: AskOf(&p.Manifest), By: g.By, At: now}
		return fresh, fresh
	}
	if !w.cfg.Dev {
		return nil, nil
	}
	g := &Grant{Name: p.Name, Digest: p.Digest, Ask: AskOf(&p.Manifest), By: DevGrantor, At: now}
	w.dev[p.Digest], w.grants[p.Digest] = g, g
	w.cfg.Log.Warn("development mode grants a plugin all that it asks for", "plugin", p.Name)
	return g, nil
}

// inherited is what an upgrade in place builds on: the grant of the version that served from this file. What development
// mode granted is forgotten.
func (w *round) inherited(p *Plugin) *Grant {
	if !w.inPlace(p) {
		return nil
	}
	g := w.grants[w.installs[p.Name].Digest]
	if g == nil || g.By == DevGrantor {
		return nil
	}
	return g
}

// before is the grant that an operator compares a version with. Another file begins anew, but what was secret under its
// name is still secret.
func (w *round) before(p *Plugin) *Grant {
	if g := w.inherited(p); g != nil {
		return g
	}
	last := w.latest[p.Name]
	if last == nil {
		return nil
	}
	return &Grant{Ask: Ask{Limits: defaultLimits, Secrets: last.Secrets}}
}

// onRecord reports that a version served before. It serves while it is being loaded: its calls wait for that.
func (w *round) onRecord(p *Plugin) bool {
	in := w.installs[p.Name]
	return in != nil && in.Digest == p.Digest
}

// unloadable says why a version cannot be loaded. If it never served, nobody can need its bytes.
func (w *round) unloadable(p *Plugin, err error) *Plugin {
	if !fault.Retryable(err) && !w.onRecord(p) {
		err = errors.Join(err, w.modules.remove(p.Digest))
	}
	return broken(p, "cannot be loaded: "+reason(err))
}

// record saves that a version serves, unless that is known.
func (w *round) record(ctx context.Context, p *Plugin, carried *Grant) error {
	if w.cfg.Offline {
		return nil
	}
	in := w.installs[p.Name]
	if carried == nil && in != nil && in.Digest == p.Digest && in.File == p.File {
		return nil
	}
	in = &Install{Name: p.Name, Digest: p.Digest, File: p.File, At: w.cfg.Now().UTC().Truncate(time.Microsecond)}
	if err := w.cfg.Store.PluginInstalled(ctx, in, carried); err != nil {
		return err
	}
	w.installs[p.Name] = in
	if carried != nil {
		w.grants[p.Digest] = carried
	}
	return nil
}

// previous is what served under a name before, from its kept bytes; lost says that it is not there any more.
func (w *round) previous(name string, chosen *Plugin) (e Entry, lost *Plugin) {
	in := w.installs[name]
	if in == nil || w.grants[in.Digest] == nil || chosen != nil && chosen.Digest == in.Digest {
		return Entry{}, nil
	}
	p, err := w.version(in.Digest)
	if err == nil && !MissingFrom(&p.Manifest, w.grants[in.Digest]).None() {
		return Entry{}, nil
	}
	if err == nil {
		_, err = w.load(p)
	}
	if err != nil {
		problem := "the version that served before cannot be had again: " + reason(err)
		return Entry{}, &Plugin{Name: name, Digest: in.Digest, State: Broken, Problem: problem, File: in.File}
	}
	return Entry{Plugin: alter(p, func(p *Plugin) { p.File = in.File }), Serving: true}, nil
}

// forget removes names that have no file any more.
func (w *round) forget(ctx context.Context) {
	if w.cfg.Offline {
		return
	}
	for name := range w.installs {
		if w.files[name] != nil {
			continue
		}
		if err := w.cfg.Store.PluginRemoved(ctx, name); err != nil {
			w.failed = err
		}
	}
}

// report says what is new, one line for each plugin or file. A command shows what it found in its own way.
func (r *Registry) report(old, now *view) {
	if r.cfg.Offline {
		return
	}
	seen := map[string]bool{}
	for _, e := range now.entries {
		p := e.Plugin
		subject := "file " + p.File + string(p.Digest)
		if e.Serving {
			subject = "plugin " + p.Name
		}
		seen[subject] = true
		switch {
		case e.Serving:
			r.tell(subject, slog.LevelInfo, "plugin serves", "", "plugin", p.Name, "version", p.Version, "digest", p.Digest)
		case p.State == NeedsApproval:
			r.tell(subject, slog.LevelWarn, "plugin needs approval", p.Problem, "plugin", p.Name, "version", p.Version, "file", p.File)
		case p.State == Loading:
		case p.Problem == stillChanging:
			r.tell(subject, slog.LevelInfo, "plugin file is still changing", "", "plugin", p.Name, "file", p.File)
		default:
			r.tell(subject, slog.LevelWarn, "plugin cannot be used", p.Problem, "plugin", p.Name, "file", p.File)
		}
	}
	for name := range old.serving {
		if now.serving[name] == nil {
			r.tell("plugin "+name, slog.LevelInfo, "plugin removed", "", "plugin", name)
			seen["plugin "+name] = true
		}
	}
	maps.DeleteFunc(r.told, func(subject, _ string) bool { return !seen[subject] })
}

// tell logs a line unless it is the one that was last said of this subject.
func (r *Registry) tell(subject string, level slog.Level, msg, problem string, attrs ...any) {
	if problem != "" {
		attrs = append(attrs, "err", problem)
	}
	line := fmt.Sprint(append(attrs, msg)...)
	if r.told[subject] == line {
		return
	}
	r.told[subject] = line
	r.cfg.Log.Log(context.Background(), level, msg, attrs...)
}
