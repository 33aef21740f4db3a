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
