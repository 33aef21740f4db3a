//go:build linux || darwin

package lab

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

const (
	browserTimeout = 30 * time.Second
	maxHops        = 20      // redirects and forms in one visit
	maxPage        = 4 << 20 // bytes of one page
)

// Browser is a person's browser on one site: it keeps cookies, follows redirects inside the site, fills in forms, and
// stops at the first redirect that leaves the site. It is for one goroutine.
type Browser struct {
	site   *url.URL
	client *http.Client
	fill   func(form) url.Values // what the person sends, nil for a form that is not theirs; nil: the site shows no forms
}

// form is one form of a page: where it goes and the values it carries.
type form struct {
	action string
	values url.Values
}

func newBrowser(site string, fill func(form) url.Values) (*Browser, error) {
	u, err := url.Parse(site)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &Browser{site: u, fill: fill, client: &http.Client{
		Jar:           jar,
		Timeout:       browserTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Authorize opens an authorization URL, does what the pages ask, and returns the address to which the site sends the
// browser in the end: the redirect to the client, code and state included. That address is not fetched.
func (b *Browser) Authorize(t testing.TB, address string) string {
	t.Helper()
	location, err := b.visit(address)
	if err != nil {
		t.Fatalf("authorize %s: %v", address, err)
	}
	return location
}

func (b *Browser) visit(address string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	for range maxHops {
		res, page, err := b.send(req)
		if err != nil {
			return "", err
		}
		if res.StatusCode/100 != 3 {
			if req, err = b.next(res, page); err != nil {
				return "", err
			}
			continue
		}
		to, err := res.Location()
		if err != nil {
			return "", err
		}
		if to.Host != b.site.Host {
			return to.String(), nil
		}
		if req, err = http.NewRequest(http.MethodGet, to.String(), nil); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("still on %s after %d pages", b.site, maxHops)
}

// press opens a page, signs in if asked to, and submits the first form whose action holds a text.
func (b *Browser) press(address, action string) error {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	for range maxHops {
		res, page, err := b.send(req)
		if err != nil {
			return err
		}
		forms, err := parseForms(page)
		if err != nil {
			return err
		}
		to, err := res.Location()
		switch i := slices.IndexFunc(forms, func(f form) bool { return strings.Contains(f.action, action) }); {
		case err == nil:
			req, err = http.NewRequest(http.MethodGet, to.String(), nil)
		case i >= 0:
			return b.post(res.Request.URL, forms[i])
		default:
			req, err = b.next(res, page)
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("no form that goes to %s after %d pages", action, maxHops)
}

func (b *Browser) post(page *url.URL, f form) error {
	req, err := submit(page, f.action, f.values)
	if err != nil {
		return err
	}
	res, said, err := b.send(req)
	if err == nil && res.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s answered %s:\n%s", req.URL, res.Status, tail(said, 20))
	}
	return err
}

func (b *Browser) send(req *http.Request) (*http.Response, []byte, error) {
	res, err := b.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	page, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	return res, page, err
}

// next is the request that submits the form which the person recognises on the page.
func (b *Browser) next(res *http.Response, page []byte) (*http.Request, error) {
	at := res.Request.URL
	if res.StatusCode != http.StatusOK || b.fill == nil {
		return nil, fmt.Errorf("%s answered %s:\n%s", at, res.Status, tail(page, 20))
	}
	forms, err := parseForms(page)
	if err != nil {
		return nil, err
	}
	for _, f := range forms {
		if values := b.fill(f); values != nil {
			return submit(at, f.action, values)
		}
	}
	return nil, fmt.Errorf("%s shows %d forms and none that is known", at, len(forms))
}

func submit(page *url.URL, action string, values url.Values) (*http.Request, error) {
	to, err := page.Parse(action)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", page.Scheme+"://"+page.Host)
	return req, nil
}

// parseForms returns the forms of a page with the values of their inputs, submit buttons left out.
func parseForms(page []byte) ([]form, error) {
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		return nil, err
	}
	var forms []form
	for n := range root.Descendants() {
		if n.Data == "form" {
			forms = append(forms, form{attr(n, "action"), inputs(n)})
		}
	}
	return forms, nil
}

func inputs(form *html.Node) url.Values {
	values := url.Values{}
	for n := range form.Descendants() {
		if name := attr(n, "name"); n.Data == "input" && name != "" && attr(n, "type") != "checkbox" {
			values.Add(name, attr(n, "value"))
		}
	}
	return values
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
