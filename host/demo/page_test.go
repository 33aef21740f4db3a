package demo_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/frigg-host/frigg-host/host/demo"
)

func TestPage_ShowsEverythingAndEscapesIt(t *testing.T) {
	t.Parallel()
	v := start(t, impatient())
	c := v.connect(everything)
	r := receive(t)
	sub := c.subscribe(r.url, "", "contact.created").str("id")
	const evil = `<script>alert(1)</script>`
	id := c.call("POST", "/contacts", `{"name":"`+evil+`","company":"\"onload=x","email":"a@example.com"}`).want(201).str("id")
	c.call("POST", "/contacts/"+id+"/notes", `{"body":"`+evil+` note"}`).want(201)
	c.call("POST", "/tasks", `{"title":"`+evil+` task"}`).want(201)
	c.call("POST", "/deals", `{"title":"`+evil+` deal","amount_cents":123456789}`).want(201)
	c.settled(sub)

	page := v.send("GET", "/", nil, "").want(200)
	if strings.Contains(page.body, "<script") || strings.Contains(page.body, `"onload`) {
		t.Errorf("hostile text is not escaped: %s", page.body)
	}
	for _, want := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt;</td>", "&lt;/script&gt; note", "&lt;/script&gt; task",
		"&lt;/script&gt; deal", "1,234,567.89 EUR", "Rooftop pilot in Ikeja", "contact.created", "delivered", "<b>" + clientID + "</b>",
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	csp := page.header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
	if strings.Contains(page.body, "style=") || strings.Contains(page.body, "<style") {
		t.Error("the page has inline styles, which its policy forbids")
	}
	if css := v.send("GET", "/style.css", nil, "").want(200); !strings.HasPrefix(css.header.Get("Content-Type"), "text/css") {
		t.Errorf("style sheet: %v", css.header)
	}
}

func TestPage_LiveReloadsAndHasNoForms(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	live := v.send("GET", "/live", nil, "").want(200)
	if !strings.Contains(live.body, `http-equiv="refresh"`) || strings.Contains(live.body, "<form") {
		t.Errorf("live view: %s", live.body)
	}
	work := v.send("GET", "/", nil, "").want(200)
	if strings.Contains(work.body, "http-equiv") || !strings.Contains(work.body, "<form") {
		t.Errorf("work view: %s", work.body)
	}
}

func TestForms_ChangeAndRedirect(t *testing.T) {
	t.Parallel()
	v := start(t, impatient())
	c := v.connect(everything)
	r := receive(t)
	c.subscribe(r.url, "", "contact.created", "deal.won")

	added := v.form("/contacts", nil, url.Values{"name": {" Grace "}, "email": {"grace@example.com"}}).want(303)
	if to := added.header.Get("Location"); to != "/#contacts" {
		t.Errorf("Location: %q", to)
	}
	if kind, data := r.next(t).event(t); kind != "contact.created" || data["name"] != "Grace" {
		t.Errorf("%s %v", kind, data)
	}
	deals, _ := c.list("/deals?stage=lead")
	id := deals[0]["id"].(string)
	v.form("/deals/"+id+"/win", nil, nil).want(303)
	if kind, data := r.next(t).event(t); kind != "deal.won" || data["id"] != id {
		t.Errorf("%s %v", kind, data)
	}
	v.form("/deals/deal_none/win", nil, nil).want(404)
}

func TestForms_TakeAccessBack(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	c, other := v.connect(everything), v.connect(everything)
	action := regexp.MustCompile(`action="(/apps/[^"]+/revoke)"`)
	forms := action.FindAllStringSubmatch(v.send("GET", "/", nil, "").body, -1)
	if len(forms) != 2 {
		t.Fatalf("%d applications to take access from, want 2", len(forms))
	}
	v.form(forms[0][1], nil, nil).want(303)
	if a, b := c.call("GET", "/me", "").status, other.call("GET", "/me", "").status; a+b != 200+401 {
		t.Errorf("after one revocation the tokens give %d and %d", a, b)
	}
}

func TestForms_SayWhatIsWrongAndKeepTheInput(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	got := v.form("/contacts", nil, url.Values{"name": {"Kept input"}, "email": {"nobody"}}).want(422)
	if !strings.Contains(got.body, "must be an e-mail address") || !strings.Contains(got.body, `value="Kept input"`) {
		t.Errorf("page: %s", got.body)
	}
}

func TestForms_RefuseOtherSites(t *testing.T) {
	t.Parallel()
	v := start(t, demo.Config{})
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}},
		{"Origin": {"https://evil.example"}},
		{"Origin": {"null"}},
	} {
		v.form("/contacts", header.Clone(), url.Values{"name": {"Planted"}}).want(403)
	}
	if page := v.send("GET", "/", nil, ""); strings.Contains(page.body, "Planted") {
		t.Error("another site added a contact")
	}
}
