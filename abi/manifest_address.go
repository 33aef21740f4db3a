package abi

import (
	"net/url"
	"strconv"
	"strings"
)

// place says what may stand in a template.
type place struct {
	scopes  string // names of scopes, separated by spaces
	secrets bool
}

var (
	inRedirect = place{scopes: "settings form"}                           // the person's browser sees it
	inToken    = place{scopes: "settings form callback"}                  // before there are tokens
	inRenewal  = place{scopes: "settings form credential"}                // when there are tokens
	inHost     = place{scopes: "settings form credential callback"}       // anything that is not secret
	asSecret   = place{scopes: "settings form credential", secrets: true} // inside a request
	inHook     = place{scopes: "settings form credential webhook", secrets: true}
	inHookURL  = place{scopes: "settings form credential webhook"}
)

// template parses text and reports references to what does not exist or must not stand there.
func (c *checker) template(path, text string, in place) (Template, bool) {
	t, err := ParseTemplate(text)
	if err != nil {
		c.add(path, "%v", err)
		return t, false
	}
	good := true
	for _, r := range t.Refs() {
		if msg := c.judge(r, in); msg != "" {
			c.add(path, "%s %s", r, msg)
			good = false
		}
	}
	return t, good
}

// judge says what is wrong with a reference, or "".
func (c *checker) judge(r Ref, in place) string {
	if !strings.Contains(in.scopes, r.Scope) {
		return "has no value here; only " + strings.ReplaceAll(in.scopes, " ", ", ") + " are known at this point"
	}
	var secret, known bool
	switch r.Scope {
	case ScopeSettings:
		if secret, known = c.settings[r.Name]; !known {
			return "is not declared; add it to `settings`"
		}
	case ScopeForm:
		if secret, known = c.form[r.Name]; !known {
			return "is not asked for; add it to the properties of `auth.form.json_schema`"
		}
	case ScopeCredential:
		if secret, known = c.credential[r.Name]; !known {
			return "is not kept; add it to `keep`"
		}
	case ScopeWebhook:
		if secret, known = webhookValues[r.Name]; !known {
			return "does not exist; there are " + strings.Join(sortedKeys(webhookValues), ", ")
		}
	case ScopeCallback:
		if !c.redirect {
			return "does not exist: there is no redirect with this kind of authorisation"
		}
		secret = r.Name == "code" || r.Name == "state"
	}
	if secret && !in.secrets {
		return "is a secret and must not stand here"
	}
	return ""
}

// templates judges the values of a map.
func (c *checker) templates(path string, texts map[string]string, in place) {
	for _, name := range sortedKeys(texts) {
		c.template(at(path, name), texts[name], in)
	}
}

// sample fills a template so that it can be parsed as an address. A reference that starts the text and is followed by
// a path or nothing stands for a whole address.
func sample(t Template) string {
	text := t.String()
	if r := addressRef(t); r != (Ref{}) {
		text = "https://1" + text[len(r.String()):]
	}
	filled, err := ParseTemplate(text)
	if err != nil {
		return text
	}
	s, _ := filled.Fill(func(string, string) (string, bool) { return "1", true }, nil)
	return s
}

// addressRef returns the reference that stands for scheme and host, or the zero Ref.
func addressRef(t Template) Ref {
	refs := t.Refs()
	if len(refs) == 0 {
		return Ref{}
	}
	rest, leads := strings.CutPrefix(t.String(), refs[0].String())
	if !leads || rest != "" && !strings.ContainsAny(rest[:1], "/?#") {
		return Ref{}
	}
	return refs[0]
}

// address judges the template of an absolute http or https address. Unless the person's browser goes there alone, it
// must be covered by `hosts`.
func (c *checker) address(path, text string, in place) {
	t, good := c.template(path, text, in)
	if !good {
		return
	}
	u, err := url.Parse(sample(t))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		c.add(path, "%q must be an address such as https://api.example.com/v1, or start with a reference to one", clip(text))
		return
	}
	if u.User != nil {
		c.add(path, "must not hold a user name or password; use `auth.apply`")
	}
	if r := addressRef(t); r != (Ref{}) {
		c.covered(path, hostPattern{ref: r})
		return
	}
	c.covered(path, hostPattern{scheme: u.Scheme, host: strings.ToLower(u.Host)})
}

// relative judges the template of a path below the base URL.
func (c *checker) relative(path, text string, in place) {
	c.template(path, text, in)
	if !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") || strings.Contains(text, "#") {
		c.add(path, "%q must be an absolute address, or a path that starts with one slash", clip(text))
		return
	}
	if c.m.API == nil {
		c.add(path, "is a path, but there is no `api.base_url` that it is below")
	}
}

// webAddress judges an address for people.
func (c *checker) webAddress(path, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		c.add(path, "%q must be an address such as https://example.com/docs", clip(text))
	}
}

// hostPattern is one claim: a reference that stands for an address, or scheme, host and port with references filled.
type hostPattern struct {
	ref          Ref
	scheme, host string
	wildcard     bool // host is what follows the star, with its dot
}

func (h hostPattern) covers(o hostPattern) bool {
	if h.ref != (Ref{}) || o.ref != (Ref{}) {
		return h.ref == o.ref
	}
	if h.wildcard {
		return h.scheme == o.scheme && strings.HasSuffix(o.host, h.host) && len(o.host) > len(h.host)
	}
	return h.scheme == o.scheme && h.host == o.host
}

func (c *checker) covered(path string, o hostPattern) {
	for _, h := range c.hosts {
		if h.covers(o) {
			return
		}
	}
	missing := o.ref.String()
	if o.ref == (Ref{}) {
		missing = strings.TrimPrefix(o.scheme+"://"+o.host, "https://")
	}
	c.add(path, "goes to %s, which `hosts` does not name; add it there with a reason", clip(missing))
}

var hostName = &pattern{text: `^([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9])?$|^\[[0-9a-f:.]+\]$`}

// host judges a host claim.
func (c *checker) host(path, text string) (hostPattern, bool) {
	t, good := c.template(path, text, inHost)
	if !good {
		return hostPattern{}, false
	}
	if r := addressRef(t); r != (Ref{}) && r.String() == text {
		return hostPattern{ref: r}, true
	}
	h := hostPattern{scheme: "https"}
	filled, _ := t.Fill(func(string, string) (string, bool) { return "1", true }, nil)
	if scheme, rest, found := strings.Cut(filled, "://"); found {
		h.scheme, filled = scheme, rest
	}
	if h.scheme != "http" && h.scheme != "https" {
		c.add(path, "scheme %q must be http or https", clip(h.scheme))
		return h, false
	}
	name, port := filled, ""
	if i := strings.LastIndexByte(filled, ':'); i > strings.LastIndexByte(filled, ']') {
		name, port = filled[:i], filled[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			c.add(path, "port %q must be 1 to 65535", clip(port))
			return h, false
		}
	}
	h.host = filled
	if rest, star := strings.CutPrefix(name, "*."); star {
		if h.wildcard, h.host, name = true, filled[1:], rest; !strings.Contains(rest, ".") {
			c.add(path, "%q is too wide; name at least a domain, as in *.example.com", clip(text))
			return h, false
		}
	}
	if len(name) > 253 || !hostName.MatchString(name) {
		c.add(path, "%q must be a host in lower case such as api.example.com or *.example.com (the star only in front), with a scheme and port if need be and no path", clip(text))
		return h, false
	}
	return h, true
}
