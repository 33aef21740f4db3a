package host_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	// mark begins every planted secret. Finding it finds what is left of a secret that was cut or escaped.
	mark = "pLaNtEd7"
	// control is planted where secrets are, and must be found: otherwise a search has looked at nothing.
	control = "cOnTrOl7"
)

// needle is a text that must not be found, in one of its spellings.
type needle struct {
	what string
	text []byte
}

// haystack collects secrets, and looks for them.
type haystack struct {
	mu      sync.Mutex
	secrets map[string][]string // by kind
	needles []needle
}

func newHaystack() *haystack {
	h := &haystack{secrets: map[string][]string{}}
	h.add("a planted secret", mark)
	return h
}

// plant makes a secret with characters that every encoder writes in its own way.
func (h *haystack) plant(kind string) string {
	text := mark + `"<&+/%\=~` + rand.Text() + "." + strings.NewReplacer(" ", "-").Replace(kind)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secrets[kind] = append(h.secrets[kind], text)
	return text
}

// add looks for a secret that somebody else made.
func (h *haystack) add(what, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secrets[what] = append(h.secrets[what], text)
	for _, s := range spellings(text) {
		h.needles = append(h.needles, needle{what, []byte(s)})
	}
}

// of lists the secrets of a kind.
func (h *haystack) of(kind string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.secrets[kind])
}

// spellings are the ways in which a text may be written.
func spellings(text string) []string {
	quoted, _ := json.Marshal(text)
	plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(quoted))
	all := []string{
		text, string(quoted[1 : len(quoted)-1]), plain[1 : len(plain)-1], url.QueryEscape(text), url.PathEscape(text),
		hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))),
	}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 { // what is certain of its base64 when something stands before and behind it
			b := enc.EncodeToString(append(make([]byte, before), text...))
			all = append(all, b[(before*8+5)/6:(before+len(text))*8/6])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// find returns which secrets are in b, and where.
func (h *haystack) find(b []byte) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []string
	for _, n := range h.needles {
		if i := bytes.Index(b, n.text); i >= 0 {
			found = append(found, fmt.Sprintf("%s as %q in %q", n.what, n.text, b[max(0, i-200):min(len(b), i+len(n.text)+100)]))
		}
	}
	return found
}

// search fails the test if a secret is in a place, or the control is not.
func (h *haystack) search(t *testing.T, place string, pieces ...[]byte) {
	t.Helper()
	hasControl, size := false, 0
	for _, b := range pieces {
		size += len(b)
		hasControl = hasControl || bytes.Contains(b, []byte(control))
		for _, f := range h.find(b) {
			t.Errorf("%s: %s", place, f)
		}
	}
	if !hasControl {
		t.Errorf("%s: the search of %d bytes looked at nothing: the control is not there", place, size)
	}
	t.Logf("%s: searched %d bytes in %d pieces for %d spellings", place, size, len(pieces), len(h.needles))
}

// dump keeps what was in the memories of guests: every page that is not empty, once, with the beginning of the next.
type dump struct {
	mu    sync.Mutex
	calls map[string]int // by plugin
	pages map[[sha256.Size]byte][]byte
}

func newDump() *dump {
	return &dump{calls: map[string]int{}, pages: map[[sha256.Size]byte][]byte{}}
}

// take is a host's AfterCall.
func (d *dump) take(plugin string, memories [][]byte) {
	const page, overlap = 4096, 1024
	empty := make([]byte, page+overlap)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[plugin]++
	for _, m := range memories {
		for at := 0; at < len(m); at += page {
			p := m[at:min(len(m), at+page+overlap)]
			if bytes.Equal(p, empty[:len(p)]) {
				continue
			}
			if sum := sha256.Sum256(p); d.pages[sum] == nil {
				d.pages[sum] = bytes.Clone(p)
			}
		}
	}
}

func (d *dump) all() [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out [][]byte
	for _, p := range d.pages {
		out = append(out, p)
	}
	return out
}

func TestHaystack_FindsEverySpelling(t *testing.T) {
	t.Parallel()
	h := newHaystack()
	planted := h.plant("token")
	h.add("verifier", "no-mark-in-here_0123456789")
	for _, secret := range []string{planted, "no-mark-in-here_0123456789"} {
		quoted, _ := json.Marshal("x" + secret)
		again, _ := json.Marshal(string(quoted))
		for name, text := range map[string]string{
			"plain": secret, "quoted": string(quoted), "quoted twice": string(again), "query": url.QueryEscape(secret), "path": url.PathEscape(secret),
			"hex": hex.EncodeToString([]byte(secret)), "HEX": fmt.Sprintf("%X", secret),
			"base64":       base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
			"base64 at 1":  base64.StdEncoding.EncodeToString([]byte("1" + secret + "behind")),
			"base64url":    base64.RawURLEncoding.EncodeToString([]byte("12" + secret)),
			"base64 query": url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("12" + secret))),
		} {
			if secret != planted && name == "base64 query" {
				continue // only the mark has no character that is escaped again
			}
			if len(h.find([]byte("before "+text+" after"))) == 0 {
				t.Errorf("%s of %s is not found", name, secret)
			}
		}
	}
	if found := h.find([]byte("pLaNtEd, and other texts")); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	if cut := planted[:len(planted)/2]; len(h.find([]byte(cut))) == 0 {
		t.Error("the first half of a secret is not found")
	}
}
