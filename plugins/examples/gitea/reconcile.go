package main

import (
	"encoding/json"
	"regexp"
	"time"

	"github.com/frigg-host/frigg-host/plugins/examples/gitea/giteaapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

// skew is how far Gitea's clock may be behind.
const skew = 2 * time.Minute

// made are the things that a POST makes, by the path of the request.
var made = []struct {
	path *regexp.Regexp
	find func(c *module.Call, path string, d module.Doubt) (any, error)
}{
	{regexp.MustCompile(`^/api/v1/repos/[^/]+/[^/]+/issues$`), madeIssue},
	{regexp.MustCompile(`^/api/v1/repos/[^/]+/[^/]+/issues/\d+/comments$`), madeComment},
	{regexp.MustCompile(`^/api/v1/repos/[^/]+/[^/]+/labels$`), madeLabel},
	{regexp.MustCompile(`^/api/v1/repos/[^/]+/[^/]+/hooks$`), madeWebhook},
}

// reconcile looks for what a request that nobody answered would have made: Gitea takes no idempotency keys.
func reconcile(c *module.Call, d module.Doubt) (*module.Answer, error) {
	for _, m := range made {
		if d.Request.Method != "POST" || !m.path.MatchString(d.Request.URL) {
			continue
		}
		found, err := m.find(c, d.Request.URL, d)
		if found == nil || err != nil {
			return nil, err
		}
		text, err := json.Marshal(found)
		return &module.Answer{Status: 201, Headers: map[string][]string{"content-type": {"application/json"}}, Text: string(text)}, err
	}
	return nil, frigg.Unsupported("whether %s %s happened cannot be seen", d.Request.Method, d.Request.URL)
}

func madeIssue(c *module.Call, path string, d module.Doubt) (any, error) {
	var asked giteaapi.Issue
	if err := json.Unmarshal(d.Request.JSON, &struct {
		*giteaapi.Issue
		Labels []int64 `json:"labels"`
	}{Issue: &asked}); err != nil {
		return nil, err
	}
	since := d.SentAt.Add(-skew)
	return first(c, path, func(i giteaapi.Issue) bool {
		return i.Title == asked.Title && i.Body == asked.Body && !i.CreatedAt.Before(since)
	}, rest.Query("type", "issues"), rest.Query("state", giteaapi.All), rest.Query("since", since.Format(time.RFC3339)))
}

func madeComment(c *module.Call, path string, d module.Doubt) (any, error) {
	var asked giteaapi.Comment
	if err := json.Unmarshal(d.Request.JSON, &asked); err != nil {
		return nil, err
	}
	return first(c, path, func(o giteaapi.Comment) bool { return o.Body == asked.Body },
		rest.Query("since", d.SentAt.Add(-skew).Format(time.RFC3339)))
}

func madeLabel(c *module.Call, path string, d module.Doubt) (any, error) {
	var asked giteaapi.Label
	if err := json.Unmarshal(d.Request.JSON, &asked); err != nil {
		return nil, err
	}
	return first(c, path, func(l giteaapi.Label) bool { return l.Name == asked.Name })
}

func madeWebhook(c *module.Call, path string, d module.Doubt) (any, error) {
	var asked giteaapi.Webhook
	if err := json.Unmarshal(d.Request.JSON, &asked); err != nil {
		return nil, err
	}
	return first(c, path, func(w giteaapi.Webhook) bool { return w.Config.URL == asked.Config.URL })
}

// first finds the first of a list that is it, nil if there is none.
func first[T any](c *module.Call, path string, is func(T) bool, options ...rest.Option) (any, error) {
	all, err := frigg.Collect(frigg.Each(func(cursor string) (frigg.Page[T], error) {
		return page[T](c, path, cursor, options...)
	}), 1000)
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if is(one) {
			return one, nil
		}
	}
	return nil, nil
}
