package demo

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

var ticketField = regexp.MustCompile(`name="ticket" value="([^"]+)"`)

// Consent does what a person would do with the address a client sent them to: it logs in, says yes, and returns where the
// browser would go next. When the request is refused before the page, that address carries the error, as it would for a person.
// It runs in the process, without a socket, for the demo command and for tests.
func (c *CRM) Consent(authorizeURL string) (redirect string, err error) {
	page, err := c.visit(http.MethodGet, authorizeURL, nil)
	if err != nil {
		return "", err
	}
	if to := page.header.Get("Location"); to != "" {
		return to, nil
	}
	ticket := ticketField.FindStringSubmatch(page.body.String())
	if ticket == nil {
		return "", fmt.Errorf("demo: no consent page at this address (status %d)", page.status)
	}
	answer := url.Values{"ticket": {html.UnescapeString(ticket[1])}, "user": {User}, "password": {Password}, "decision": {"allow"}}
	page, err = c.visit(http.MethodPost, c.base.String()+"/oauth/authorize", strings.NewReader(answer.Encode()))
	if err != nil {
		return "", err
	}
	to := page.header.Get("Location")
	if to == "" {
		return "", fmt.Errorf("demo: the consent was not accepted (status %d)", page.status)
	}
	return to, nil
}

func (c *CRM) visit(method, address string, form io.Reader) (*memo, error) {
	r, err := http.NewRequestWithContext(c.done, method, address, form)
	if err != nil {
		return nil, err
	}
	if r.URL.Host != c.base.Host || r.URL.Path != "/oauth/authorize" {
		return nil, errors.New("demo: not an authorization address of this server")
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	m := newMemo()
	c.ServeHTTP(m, r)
	return m, nil
}
