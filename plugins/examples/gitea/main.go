// Command gitea is the API module for Gitea servers.
package main

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

func init() {
	module.Identify(identify)
	module.Reconcile(reconcile)
	module.Method(giteaapi.ListRepos, listRepos)
	module.Method(giteaapi.GetRepo, getRepo)
	module.Method(giteaapi.ListIssues, listIssues)
	module.Method(giteaapi.GetIssue, getIssue)
	module.Method(giteaapi.CreateIssue, createIssue)
	module.Method(giteaapi.UpdateIssue, updateIssue)
	module.Method(giteaapi.CommentIssue, commentIssue)
	module.Method(giteaapi.ListWebhooks, listWebhooks)
	module.Method(giteaapi.CreateWebhook, createWebhook)
	module.Method(giteaapi.DeleteWebhook, deleteWebhook)
}

// identify names the account by server and user id: ids alone repeat on every server, and names change.
func identify(c *module.Call, _ map[string]string) ([]module.Account, error) {
	user, err := module.Get[struct {
		ID       int64  `json:"id"`
		Login    string `json:"login"`
		FullName string `json:"full_name"`
	}](c, "/api/v1/user")
	if err != nil {
		return nil, err
	}
	base := c.Value("base_url")
	details, err := json.Marshal(giteaapi.Account{Login: user.Login, BaseURL: base})
	_, host, _ := strings.Cut(base, "://")
	return []module.Account{{ExternalID: base + "#" + strconv.FormatInt(user.ID, 10), Name: user.Login + " at " + host, Details: details}}, err
}

func listRepos(c *module.Call, in giteaapi.ListReposArgs) (frigg.Page[giteaapi.Repository], error) {
	return page[giteaapi.Repository](c, "/api/v1/user/repos", in.Cursor)
}

func getRepo(c *module.Call, in giteaapi.RepoArgs) (giteaapi.Repository, error) {
	path, err := repoPath(in.Repository)
	if err != nil {
		return giteaapi.Repository{}, err
	}
	return module.Get[giteaapi.Repository](c, path)
}

// repoPath is where "owner/name" is.
func repoPath(repository string) (string, error) {
	owner, name, ok := strings.Cut(repository, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return "", frigg.Invalid("a repository is named owner/name, not %q", repository)
	}
	return module.Path("/api/v1/repos/%s/%s", owner, name), nil
}

const pageSize = "50" // Gitea gives no more unless its operator allows it

// page asks for a page of a list. The cursor is the number of the page.
func page[T any](c *module.Call, path, cursor string, options ...rest.Option) (frigg.Page[T], error) {
	number := 1
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 1 {
			return frigg.Page[T]{}, frigg.Invalid("the cursor is not one of this list")
		}
		number = n
	}
	r := rest.Request{URL: path}
	for _, o := range append(options, rest.Query("page", strconv.Itoa(number)), rest.Query("limit", pageSize)) {
		o(&r)
	}
	res, err := c.HTTP().Send(r)
	if err != nil {
		return frigg.Page[T]{}, err
	}
	var out frigg.Page[T]
	if err := res.Decode(&out.Items); err != nil {
		return out, err
	}
	if hasNext(res, number, len(out.Items)) {
		out.Next = strconv.Itoa(number + 1)
	}
	return out, nil
}

// hasNext goes by the Link header, and by the total where Gitea sends only that. The server may give smaller pages than asked
// for, so the size of this one counts.
func hasNext(res *rest.Response, number, items int) bool {
	if res.Get("link") != "" {
		return res.Link("next") != ""
	}
	total, err := strconv.Atoi(res.Get("x-total-count"))
	return err == nil && items > 0 && number*items < total
}

func main() {}
