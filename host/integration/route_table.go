package integration

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Route is a route that a plugin declares. It is immutable.
type Route struct {
	abi.Route
	// Label names the route in logs: the whole path as declared.
	Label string

	plugin *plugin.Plugin
	params []string // names in the order of the path
	log    func(level, message string)
}

// OfRecord reports whether the path names a record of the caller.
func (r *Route) OfRecord() bool { return slices.Contains(r.params, abi.RouteIntegrationID) }

// RouteMatch is what stands at a path.
type RouteMatch struct {
	// Route is nil if there is none for the method.
	Route *Route
	// Params are the path parameters by name, unescaped.
	Params map[string]string
	// Allow are the methods that the path takes, OPTIONS among them, in order.
	Allow []string
}

// ID is the record that the path names, if any.
func (m RouteMatch) ID() ID { return ID(m.Params[abi.RouteIntegrationID]) }

// routeTable finds the routes of one version of a plugin. It is made once and immutable.
type routeTable struct {
	plugin *plugin.Plugin
	root   routeNode
}

// routeNode is a place in the tree of paths.
type routeNode struct {
	static map[string]*routeNode
	param  *routeNode
	routes []*Route // one for each method
}

func newRouteTable(p *plugin.Plugin, log func(level, message string)) *routeTable {
	t := &routeTable{plugin: p}
	for _, declared := range p.Manifest.Routes {
		if declared.Event == "" {
			declared.Event = declared.Name()
		}
		r := &Route{Route: declared, Label: "/api/" + p.Name + "-integration" + declared.Path, plugin: p, log: log}
		n := &t.root
		for _, segment := range declared.Segments() {
			name, isParam := strings.CutPrefix(segment, ":")
			if isParam {
				r.params = append(r.params, name)
			}
			n = n.child(segment, isParam)
		}
		n.routes = append(n.routes, r)
	}
	return t
}

// child is the node one segment down; it is made if there is none.
func (n *routeNode) child(segment string, isParam bool) *routeNode {
	if isParam {
		if n.param == nil {
			n.param = &routeNode{}
		}
		return n.param
	}
	if n.static == nil {
		n.static = map[string]*routeNode{}
	}
	if n.static[segment] == nil {
		n.static[segment] = &routeNode{}
	}
	return n.static[segment]
}

// match finds what stands at a path, percent-encoded and with a slash in front. ok is false if nothing does.
func (t *routeTable) match(method, path string) (m RouteMatch, ok bool) {
	if method == "HEAD" {
		method = "GET"
	}
	if path == "/" {
		path = ""
	}
	s := routeSearch{method: method}
	s.walk(&t.root, path)
	if s.found == nil {
		return RouteMatch{Allow: allowed(s.others)}, len(s.others) > 0
	}
	m = RouteMatch{Route: s.found}
	if len(s.values) > 0 {
		m.Params = make(map[string]string, len(s.values))
		for i, name := range s.found.params {
			m.Params[name] = s.values[i]
		}
	}
	return m, true
}

// allowed lists the methods of routes with those that follow from them.
func allowed(routes []*Route) []string {
	methods := []string{"OPTIONS"}
	for _, r := range routes {
		methods = append(methods, r.Method)
		if r.Method == "GET" {
			methods = append(methods, "HEAD")
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

// routeSearch looks for the first route of a method at a path; what is said word for word goes before parameters. It visits
// no node twice.
type routeSearch struct {
	method string
	values []string // of the parameters on the way
	found  *Route
	others []*Route // at the path, for other methods
}

func (s *routeSearch) walk(n *routeNode, path string) {
	if path == "" {
		s.arrive(n)
		return
	}
	segment, rest := path[1:], ""
	if i := strings.IndexByte(segment, '/'); i >= 0 {
		segment, rest = segment[:i], segment[i:]
	}
	text, ok := unescaped(segment)
	if !ok {
		return
	}
	if next := n.static[text]; next != nil {
		s.walk(next, rest)
	}
	if n.param != nil && s.found == nil {
		s.values = append(s.values, text)
		s.walk(n.param, rest)
		if s.found == nil {
			s.values = s.values[:len(s.values)-1]
		}
	}
}

func (s *routeSearch) arrive(n *routeNode) {
	for _, r := range n.routes {
		if r.Method == s.method {
			s.found = r
			return
		}
	}
	s.others = append(s.others, n.routes...)
}

// unescaped is the text of a segment; ok is false if it has none that JSON could carry.
func unescaped(segment string) (text string, ok bool) {
	text = segment
	if strings.IndexByte(segment, '%') >= 0 {
		var err error
		if text, err = url.PathUnescape(segment); err != nil {
			return "", false
		}
	}
	return text, text != "" && utf8.ValidString(text)
}
