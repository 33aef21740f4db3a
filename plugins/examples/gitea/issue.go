package main

import (
	"slices"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

func listIssues(c *module.Call, in giteaapi.ListIssuesArgs) (frigg.Page[giteaapi.Issue], error) {
	path, err := repoPath(in.Repository)
	if err != nil {
		return frigg.Page[giteaapi.Issue]{}, err
	}
	since := ""
	if in.Since != nil {
		since = in.Since.UTC().Format(time.RFC3339)
	}
	return page[giteaapi.Issue](c, path+"/issues", in.Cursor, rest.Query("type", "issues"), rest.Query("state", in.State),
		rest.Query("labels", strings.Join(in.Labels, ",")), rest.Query("since", since))
}

func getIssue(c *module.Call, in giteaapi.IssueArgs) (giteaapi.Issue, error) {
	path, err := issuePath(in.Repository, in.Number)
	if err != nil {
		return giteaapi.Issue{}, err
	}
	return module.Get[giteaapi.Issue](c, path)
}

func issuePath(repository string, number int64) (string, error) {
	path, err := repoPath(repository)
	if err == nil && number < 1 {
		err = frigg.Invalid("an issue has a number from 1")
	}
	return path + module.Path("/issues/%d", number), err
}

func createIssue(c *module.Call, in giteaapi.NewIssue) (giteaapi.Issue, error) {
	path, err := repoPath(in.Repository)
	if err != nil {
		return giteaapi.Issue{}, err
	}
	labels, err := labelIDs(c, path, in.Labels)
	if err != nil {
		return giteaapi.Issue{}, err
	}
	return module.Post[giteaapi.Issue](c, path+"/issues", map[string]any{"title": in.Title, "body": in.Body, "labels": labels})
}

// labelIDs turns names into ids, because Gitea opens issues with ids only. A name that is new becomes a label.
func labelIDs(c *module.Call, repo string, names []string) ([]int64, error) {
	ids := []int64{}
	if len(names) == 0 {
		return ids, nil
	}
	known, err := frigg.Collect(frigg.Each(func(cursor string) (frigg.Page[giteaapi.Label], error) {
		return page[giteaapi.Label](c, repo+"/labels", cursor)
	}), 1000)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		i := slices.IndexFunc(known, func(l giteaapi.Label) bool { return strings.EqualFold(l.Name, name) })
		if i < 0 {
			label, err := module.Post[giteaapi.Label](c, repo+"/labels", map[string]string{"name": name, "color": "#0e8a16"})
			if err != nil {
				return nil, err
			}
			known, i = append(known, label), len(known)
		}
		ids = append(ids, known[i].ID)
	}
	return ids, nil
}

func updateIssue(c *module.Call, in giteaapi.IssueChange) (giteaapi.Issue, error) {
	path, err := issuePath(in.Repository, in.Number)
	if err != nil {
		return giteaapi.Issue{}, err
	}
	change := map[string]*string{}
	for name, value := range map[string]*string{"title": in.Title, "body": in.Body, "state": in.State} {
		if value != nil {
			change[name] = value
		}
	}
	if s := in.State; s != nil && *s != giteaapi.Open && *s != giteaapi.Closed {
		return giteaapi.Issue{}, frigg.Invalid("an issue is open or closed, not %q", *s)
	}
	return module.Patch[giteaapi.Issue](c, path, change, rest.SafeToRepeat)
}

func commentIssue(c *module.Call, in giteaapi.NewComment) (giteaapi.Comment, error) {
	path, err := issuePath(in.Repository, in.Number)
	if err != nil {
		return giteaapi.Comment{}, err
	}
	return module.Post[giteaapi.Comment](c, path+"/comments", map[string]string{"body": in.Body})
}
