//go:build e2e && (linux || darwin)

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// page is what one test writes down for docs/transcript.md: what was said, without what differs from run to run (ports,
// folders, ids, times) and without secrets. The nil page takes everything and keeps nothing. Safe for concurrent use.
type page struct {
	mu    sync.Mutex
	text  strings.Builder
	names *strings.Replacer // of addresses and folders
	known []string          // pairs of names
	ids   map[string]string
	steps int
	heard bytes.Buffer // answers as they came, but those that hand out a token
}

var pages = struct {
	sync.Mutex
	byTitle map[string]*page
}{byTitle: map[string]*page{}}

// chapters of the transcript in their order; a run that lacks one is not written down.
var chapters = []string{"The road", "Checks of an OAuth2 client"}

func newPage(t *testing.T, chapter string) *page {
	t.Helper()
	if !slices.Contains(chapters, chapter) {
		t.Fatalf("chapter %q is not in chapters", chapter)
	}
	p := &page{ids: map[string]string{}, names: strings.NewReplacer()}
	pages.Lock()
	defer pages.Unlock()
	pages.byTitle[chapter] = p
	return p
}

// alias lets a text stand under a name, an address also where it is escaped or without its scheme.
func (p *page) alias(text, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = append(p.known, text, name, url.QueryEscape(text), url.QueryEscape(name))
	p.names = strings.NewReplacer(append(p.known, bare(p.known)...)...)
}

// bare are pairs of addresses without their schemes.
func bare(pairs []string) []string {
	var out []string
	for i := 0; i < len(pairs); i += 2 {
		if rest, ok := strings.CutPrefix(pairs[i], "http://"); ok {
			out = append(out, rest, strings.TrimPrefix(pairs[i+1], "http://"))
		}
	}
	return out
}

func (p *page) step(title string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps++
	fmt.Fprintf(&p.text, "\n### %d. %s\n", p.steps, title)
}

// say adds a sentence.
func (p *page) say(format string, args ...any) { p.write("\n" + fmt.Sprintf(format, args...) + "\n") }

// exchange adds a request to the API and its answer.
func (p *page) exchange(method, path string, in any, a answer) {
	if p == nil {
		return
	}
	var body []byte
	if in != nil {
		body, _ = json.Marshal(in)
	}
	p.block(fmt.Sprintf("> %s %s %s\n< %d %s", method, path, p.clip(body), a.Status, p.clip(brief(a))))
	if !strings.HasPrefix(path, "/user/") {
		p.mu.Lock()
		p.heard.Write(a.Body)
		p.mu.Unlock()
	}
}

// brief leaves out what an error says a second time, for RFC 9457.
func brief(a answer) []byte {
	var e struct {
		Error  string          `json:"error"`
		Errors json.RawMessage `json:"errors,omitempty"`
	}
	if a.Status < 400 || json.Unmarshal(a.Body, &e) != nil {
		return a.Body
	}
	var b bytes.Buffer
	encode := json.NewEncoder(&b)
	encode.SetEscapeHTML(false)
	if encode.Encode(e) != nil {
		return a.Body
	}
	return b.Bytes()
}

// command adds what the operator typed and read.
func (p *page) command(typed, read string) {
	p.block("$ " + typed + "\n" + strings.TrimRight(read, "\n"))
}

// wire adds what a vendor received.
func (p *page) wire(vendor string, s seen) {
	line := fmt.Sprintf("%s saw %s %s", vendor, s.Method, s.Path)
	if key := s.Header.Get("Idempotency-Key"); key != "" {
		line += "\n  Idempotency-Key: " + key
	}
	if s.Body != "" {
		line += "\n  " + p.clip([]byte(s.Body))
	}
	p.block(line)
}

func (p *page) block(text string) {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	p.write("\n```\n" + strings.Join(lines, "\n") + "\n```\n")
}

func (p *page) write(text string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.WriteString(p.scrub(text))
}

const maxShown = 700

// clip keeps what a reader needs of a body, without secrets.
func (p *page) clip(body []byte) string {
	var flat bytes.Buffer
	if json.Compact(&flat, body) == nil {
		body = flat.Bytes()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text := p.scrub(strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", " "))
	if len(text) > maxShown {
		text = text[:maxShown] + " ..."
	}
	return text
}

var (
	uuids   = regexp.MustCompile(`\b(?:(?:usr|ent|cred|int|job|evt)_[0-9a-f]{8}-[0-9a-f-]{27}|acct_\w+)\b`)
	keys    = regexp.MustCompile(`\bfrigg-[0-9a-f]{32}\b`)
	times   = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d(:|%3A)\d\d(:|%3A)\d\d(\.\d+)?Z`)
	digests = regexp.MustCompile(`\b(sha256:)?[0-9a-f]{64}\b`)
	// hidden are values that open something, in JSON, forms and queries.
	hidden = regexp.MustCompile(`("(?:token|password|client_secret|client_id|api_key|code|state|stripe_webhook_secret)":")[^"]*|((?:[?&]|\\u0026|^)(?:code|state|client_id|code_challenge|code_verifier|refresh_token|client_secret)=)[^&"` + "`" + `\\ \n]*`)
)

// scrub replaces what differs from run to run. An id keeps its name throughout the page.
func (p *page) scrub(text string) string {
	text = p.names.Replace(text)
	text = hidden.ReplaceAllString(text, "$1$2...")
	text = times.ReplaceAllString(text, "TIME")
	text = uuids.ReplaceAllStringFunc(text, func(id string) string {
		kind, _, _ := strings.Cut(id, "_")
		return p.number(kind+"_", id)
	})
	text = keys.ReplaceAllStringFunc(text, func(key string) string { return p.number("key-", key) })
	return digests.ReplaceAllString(text, "sha256:...")
}

func (p *page) number(prefix, id string) string {
	if name, ok := p.ids[id]; ok {
		return name
	}
	n := 1
	for _, name := range p.ids {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	p.ids[id] = fmt.Sprintf("%s%d", prefix, n)
	return p.ids[id]
}

const preface = `# What the end-to-end tests saw

Written by ` + "`go test -tags e2e ./cmd/frigg-host/e2e -update`" + ` against Gitea 1.26.0, stripe-mock 0.203.0 and oidc-provider 9.13.3, each on
loopback. ` + "`>`" + ` is a request to the management API, ` + "`<`" + ` its answer, ` + "`$`" + ` a command of the operator. Addresses, ids and times have names;
secrets are left out; long bodies are cut; of errors only ` + "`error`" + ` is shown.
`

// keepTranscript writes the transcript, or compares its outline with what ran. A run of only some tests changes nothing.
func keepTranscript(write bool) error {
	var b strings.Builder
	b.WriteString(preface)
	for _, title := range chapters {
		p := pages.byTitle[title]
		if p == nil {
			if write {
				return errors.New("only a run of all tests writes the transcript")
			}
			return nil
		}
		b.WriteString("\n## " + title + "\n" + p.text.String())
	}
	if write {
		return os.WriteFile(transcriptFile, []byte(b.String()), 0o644)
	}
	kept, err := os.ReadFile(transcriptFile)
	if err != nil {
		return err
	}
	if outline(string(kept)) != outline(b.String()) {
		return fmt.Errorf("%s is of other steps than those that ran; run the tests with -update", transcriptFile)
	}
	return nil
}

// outline is the headings and the first column of tables.
func outline(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "| "); ok {
			line, _, _ = strings.Cut(rest, " | ")
			fmt.Fprintln(&b, line)
		} else if strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
