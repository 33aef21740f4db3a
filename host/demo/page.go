package demo

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

//go:embed *.html style.css
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{"money": money, "ago": ago}).ParseFS(files, "*.html"))

// contentPolicy allows our own style sheet and nothing else: no script, no frame, no form to elsewhere.
const contentPolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

// consentPolicy does not name form-action: browsers apply it to each redirect that follows the form, and those lead to the
// client and wherever the client goes on to.
var consentPolicy = strings.TrimSuffix(contentPolicy, "; form-action 'self'")

const (
	shownRows  = 50
	shownNews  = 12
	refreshSec = 3
)

// crmPage is what the page shows at one moment.
type crmPage struct {
	Live       bool
	RefreshSec int
	Now        time.Time
	Account    account
	Contacts   []contact
	Total      int
	Deals      []dealRow
	Tasks      []taskRow
	Notes      []noteRow
	Deliveries []delivery
	Apps       []appRow
	Form       contactInput
	Wrong      fields
}

type dealRow struct {
	deal
	Contact string
	Open    bool
}

type taskRow struct {
	task
	About string
}

type noteRow struct {
	note
	Contact string
}

type appRow struct {
	ID     grantID
	Client string
	Scopes []scope
	Since  time.Time
}

func (c *CRM) showPage(w http.ResponseWriter, _ *http.Request) {
	c.render(w, http.StatusOK, c.look())
}

// showLive is the page without forms, since it reloads itself and would eat what somebody types.
func (c *CRM) showLive(w http.ResponseWriter, _ *http.Request) {
	p := c.look()
	p.Live = true
	c.render(w, http.StatusOK, p)
}

func (c *CRM) look() crmPage {
	p := crmPage{RefreshSec: refreshSec, Now: c.now().UTC()}
	c.store.view(func(s *state) {
		p.Account, p.Total = s.Account, len(s.Contacts)
		p.Contacts = newest(s.Contacts, shownRows, func(c contact) time.Time { return c.UpdatedAt })
		for _, d := range newest(s.Deals, shownRows, func(d deal) time.Time { return d.UpdatedAt }) {
			p.Deals = append(p.Deals, dealRow{d, s.Contacts[d.ContactID].Name, d.open()})
		}
		for _, t := range newest(s.Tasks, shownNews, func(t task) time.Time { return t.UpdatedAt }) {
			p.Tasks = append(p.Tasks, taskRow{t, cmp.Or(s.Deals[t.DealID].Title, s.Contacts[t.ContactID].Name)})
		}
		for _, n := range newest(s.Notes, shownNews, func(n note) time.Time { return n.CreatedAt }) {
			p.Notes = append(p.Notes, noteRow{n, s.Contacts[n.ContactID].Name})
		}
		last := s.Deliveries[max(0, len(s.Deliveries)-shownNews):]
		p.Deliveries = slices.Clone(last)
		for id, g := range s.Grants {
			if g.Refresh != "" {
				p.Apps = append(p.Apps, appRow{id, g.Client, describe(g.Scopes), g.CreatedAt})
			}
		}
	})
	slices.SortFunc(p.Apps, func(a, b appRow) int { return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.ID, b.ID)) })
	slices.Reverse(p.Deliveries)
	slices.SortStableFunc(p.Deals, func(a, b dealRow) int {
		return slices.Index(stages, a.Stage) - slices.Index(stages, b.Stage)
	})
	return p
}

// newest returns the limit rows with the latest times, latest first.
func newest[K comparable, V any](rows map[K]V, limit int, at func(V) time.Time) []V {
	all := slices.SortedFunc(maps.Values(rows), func(a, b V) int { return at(b).Compare(at(a)) })
	return all[:min(len(all), limit)]
}

func (c *CRM) submitContact(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "The form did not arrive whole. Go back and try again.", http.StatusBadRequest)
		return
	}
	field := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	in := contactInput{Name: field("name"), Email: field("email"), Company: field("company"), Phone: field("phone")}
	err := c.change(User, func(a *act) error {
		_, err := a.addContact(in)
		return err
	})
	if wrong := fieldsOf(err); wrong != nil {
		p := c.look()
		p.Form, p.Wrong = in, wrong
		c.render(w, http.StatusUnprocessableEntity, p)
		return
	}
	c.afterForm(w, r, err, "/#contacts")
}

func fieldsOf(err error) fields {
	if p := problemOf(err); p != nil {
		return p.Fields
	}
	return nil
}

func (c *CRM) submitWin(w http.ResponseWriter, r *http.Request) {
	err := c.change(User, func(a *act) error { return a.winDeal(dealID(r.PathValue("id"))) })
	c.afterForm(w, r, err, "/#deals")
}

func (c *CRM) submitRevoke(w http.ResponseWriter, r *http.Request) {
	err := c.change(User, func(a *act) error {
		a.revoke(grantID(r.PathValue("id")))
		return nil
	})
	c.afterForm(w, r, err, "/#apps")
}

// afterForm redirects, so that a reload does not send the form again.
func (c *CRM) afterForm(w http.ResponseWriter, r *http.Request, err error, to string) {
	if p := problemOf(err); p != nil {
		http.Error(w, p.Message, p.status)
		return
	}
	if err != nil {
		c.log.Error("form not carried out", "path", r.URL.Path, "err", err)
		http.Error(w, "Something went wrong here.", http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (c *CRM) render(w http.ResponseWriter, status int, p crmPage) {
	renderPage(w, status, contentPolicy, "crm.html", p)
}

type consentPage struct {
	App, Ticket, Complaint string
	Scopes                 []scope
}

func showConsent(w http.ResponseWriter, status int, p consentPage) {
	renderPage(w, status, consentPolicy, "consent.html", p)
}

func showRefusal(w http.ResponseWriter, message string) {
	renderPage(w, http.StatusBadRequest, contentPolicy, "refusal.html", message)
}

func renderPage(w http.ResponseWriter, status int, policy, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "This page could not be made.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // "no-referrer" would also take the Origin from forms
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the reader may have gone
}

func showStyle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeFileFS(w, r, files, "style.css")
}

// money writes 1234567 EUR cents as "12,345.67 EUR".
func money(cents int64, currency string) string {
	digits := fmt.Sprint(cents / 100)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return fmt.Sprintf("%s.%02d %s", digits, cents%100, currency)
}

func ago(now, at time.Time) string {
	switch d := now.Sub(at); {
	case d < 5*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return at.Format("2 Jan 2006")
	}
}
