package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"

	"github.com/frigg-host/frigg-host/host/fault"
)

const (
	// handlePrefix lets people and us see what it is. No encoder of URLs, forms or JSON touches a handle.
	handlePrefix = "frigg_secret_"
	handleLen    = len(handlePrefix) + 2*handleBytes
	handleBytes  = 16
	// maxReplaced bounds the text that handles grow into: a guest may repeat a short handle of a long secret.
	maxReplaced = 64 << 20
)

// Handles lets a guest name secrets that it never sees. A table lives as long as the tree of calls it was made for; elsewhere
// its handles mean nothing. The nil table knows none. Safe for concurrent use.
type Handles struct {
	parent *Handles
	key    []byte // nil: handles are random

	mu       sync.Mutex
	byHandle map[string]Text
	bySecret map[string]string
}

// NewHandles returns an empty table.
func NewHandles() *Handles {
	return &Handles{byHandle: map[string]Text{}, bySecret: map[string]string{}}
}

// HandlesOf returns an empty table whose handles follow from a secret key: the same in every table with this key.
func HandlesOf(key [32]byte) *Handles {
	h := NewHandles()
	h.key = key[:]
	return h
}

// Child returns a table that knows the handles of h, while h does not know those that the child issues.
func (h *Handles) Child() *Handles {
	c := NewHandles()
	c.parent = h
	return c
}

// Issue returns the handle of t: unguessable, and the same for the same secret.
func (h *Handles) Issue(t Text) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if handle, ok := h.bySecret[t.Reveal()]; ok {
		return handle
	}
	handle := handlePrefix + hex.EncodeToString(h.name(t))
	h.byHandle[handle], h.bySecret[t.Reveal()] = t, handle
	return handle
}

// name is what makes a handle unguessable.
func (h *Handles) name(t Text) []byte {
	if h.key == nil {
		var raw [handleBytes]byte
		rand.Read(raw[:]) // never fails: the process ends instead
		return raw[:]
	}
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(t.Reveal()))
	return mac.Sum(nil)[:handleBytes]
}

// Lookup returns the secret behind a handle. The fault is Invalid on side Guest.
func (h *Handles) Lookup(handle string) (Text, error) {
	for t := h; t != nil; t = t.parent {
		t.mu.Lock()
		found, ok := t.byHandle[handle]
		t.mu.Unlock()
		if ok {
			return found, nil
		}
	}
	return Text{}, fault.New(fault.Invalid, "secret.Handles",
		"a handle of a secret is not known: it is good only during the call for which it was given").On(fault.Guest)
}

// Secrets lists all secrets that have a handle here: whoever answers may repeat one that was sent before.
func (h *Handles) Secrets() []Text {
	var all []Text
	for t := h; t != nil; t = t.parent {
		t.mu.Lock()
		for _, s := range t.byHandle {
			all = append(all, s)
		}
		t.mu.Unlock()
	}
	return all
}

// Replace puts secrets in place of handles, each escaped for where it stands; a nil escape leaves it as it is. Faults are on
// side Guest: Invalid for an unknown handle, TooLarge for a text that would outgrow 64 MiB.
func (h *Handles) Replace(s string, escape func(string) string) (string, error) {
	var b strings.Builder
	for {
		i := nextHandle(s)
		if i < 0 {
			break
		}
		t, err := h.Lookup(s[i : i+handleLen])
		if err != nil {
			return "", err
		}
		v := t.Reveal()
		if escape != nil {
			v = escape(v)
		}
		if b.Len()+i+len(v) > maxReplaced {
			return "", fault.New(fault.TooLarge, "secret.Handles", "the request names secrets too often").On(fault.Guest)
		}
		b.WriteString(s[:i])
		b.WriteString(v)
		s = s[i+handleLen:]
	}
	if b.Len() == 0 {
		return s, nil
	}
	b.WriteString(s)
	return b.String(), nil
}

// HasHandle reports whether s holds something that looks like a handle.
func HasHandle(s string) bool { return nextHandle(s) >= 0 }

// nextHandle returns where the first handle begins, or -1.
func nextHandle(s string) int {
	for from := 0; ; {
		i := strings.Index(s[from:], handlePrefix)
		if i < 0 || len(s)-from-i < handleLen {
			return -1
		}
		i += from
		if isHex(s[i+len(handlePrefix) : i+handleLen]) {
			return i
		}
		from = i + len(handlePrefix)
	}
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// WithoutHandles puts one fixed word in place of every handle, so that texts can be compared between calls.
func WithoutHandles(s string) string {
	var b strings.Builder
	for i := nextHandle(s); i >= 0; i = nextHandle(s) {
		b.WriteString(s[:i] + redacted)
		s = s[i+handleLen:]
	}
	return b.String() + s
}
