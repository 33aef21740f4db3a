package module_test

import (
	"fmt"
	"io"
	"net/http"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
)

type newIssue struct {
	Owner string `json:"owner"`
	Repo  string `json:"repo"`
	Title string `json:"title"`
}

type issue struct {
	Number int    `json:"number"`
	Title  string `json:"title"`
}

// createIssue is the name of a method with its types. Integrations call it by the same constant.
const createIssue frigg.Method[newIssue, issue] = "create_issue"

func init() {
	module.Method(createIssue, func(c *module.Call, in newIssue) (issue, error) {
		return module.Post[issue](c, module.Path("/repos/%s/%s/issues", in.Owner, in.Repo), in)
	})
}

// A method, and its test against a vendor that is an ordinary http.Handler.
func Example() {
	vendor := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL.Path)
		_, _ = io.WriteString(w, `{"number": 7, "title": "hello"}`)
	})
	m := friggtest.NewModule(nil, vendor)
	got, err := friggtest.Call(m, createIssue, newIssue{Owner: "ada", Repo: "engine", Title: "hello"})
	fmt.Println(got.Number, got.Title, err)
	// Output:
	// POST /repos/ada/engine/issues
	// 7 hello <nil>
}

func init() {
	module.Subscriptions(module.Subscriber{
		Subscribe: func(c *module.Call, w module.Webhook) (module.Subscription, error) {
			type hook struct {
				ID     string   `json:"id,omitempty"`
				URL    string   `json:"url,omitempty"`
				Events []string `json:"events,omitempty"`
			}
			made, err := module.Post[hook](c, "/hooks", hook{URL: w.URL, Events: w.Topics})
			return module.Subscription{ID: made.ID}, err
		},
		Unsubscribe: func(c *module.Call, w module.Webhook) error {
			return module.Delete(c, module.Path("/hooks/%s", w.ID))
		},
	})
}

// A module subscribes to webhooks by code where data in its manifest does not do.
func ExampleSubscriptions() {
	vendor := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s%s\n", r.Method, r.URL.Path, body)
		_, _ = io.WriteString(w, `{"id": "wh_7"}`)
	})
	m := friggtest.NewModule(nil, vendor)
	made, err := m.Subscribe(module.Webhook{Hook: "events", Topics: []string{"contact.created"}})
	fmt.Println(made.ID, err)
	_, err = m.Renew(module.Webhook{Hook: "events", ID: made.ID})
	fmt.Println(frigg.Is(err, frigg.KindUnsupported))
	fmt.Println(m.Unsubscribe(module.Webhook{Hook: "events", ID: made.ID}))
	// Output:
	// POST /hooks{"url":"https://frigg.test/hooks/int_test","events":["contact.created"]}
	// wh_7 <nil>
	// true
	// DELETE /hooks/wh_7
	// <nil>
}
