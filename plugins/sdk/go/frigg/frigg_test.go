package frigg_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

func TestErrorf_KeepsACauseAndTheWholeText(t *testing.T) {
	cause := errors.New("no such key")
	err := frigg.NotFound("the setting is missing: %w", cause)
	if !errors.Is(err, cause) || err.Error() != "the setting is missing: no such key" || frigg.KindOf(err) != frigg.KindNotFound {
		t.Errorf("%v", err)
	}
}

func TestHalt_ChangesNothingButHalt(t *testing.T) {
	before := frigg.Unavailable("down")
	err := frigg.Halt(fmt.Errorf("asking: %w", before))
	after, _ := errors.AsType[*frigg.Fault](err)
	if !after.Halt || after.Kind != frigg.KindUnavailable || after.Message != "asking: down" || !errors.Is(err, before) {
		t.Errorf("%+v", after)
	}
	if inner, _ := errors.AsType[*frigg.Fault](before); inner.Halt {
		t.Error("the fault that was wrapped changed")
	}
	if frigg.Halt(nil) != nil {
		t.Error("nothing became something")
	}
}

func TestRetryAfter_IsARateLimitWhateverTheReason(t *testing.T) {
	f, _ := errors.AsType[*frigg.Fault](frigg.RetryAfter(time.Minute, frigg.Invalid("not ready")))
	if f.Kind != frigg.KindRateLimited || f.RetryAfter != time.Minute || f.Message != "not ready" {
		t.Errorf("%+v", f)
	}
}

func TestIs_KnowsKindsOfAnyError(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind frigg.Kind
	}{
		{nil, ""},
		{errors.New("plain"), frigg.KindInternal},
		{fmt.Errorf("around: %w", frigg.Conflict("taken")), frigg.KindConflict},
	} {
		if got := frigg.KindOf(c.err); got != c.kind {
			t.Errorf("%v is %q", c.err, got)
		}
		if frigg.Is(c.err, frigg.KindNotFound) || frigg.Is(c.err, c.kind) != (c.err != nil) {
			t.Errorf("%v", c.err)
		}
	}
}

func TestEach_WalksUntilTheEndAnErrorOrABreak(t *testing.T) {
	broken := errors.New("broken")
	pages := map[string]frigg.Page[int]{"": {Items: []int{1, 2}, Next: "b"}, "b": {Next: "c"}, "c": {Items: []int{3}}}
	fetch := func(cursor string) (frigg.Page[int], error) { return pages[cursor], nil }
	for _, c := range []struct {
		name  string
		fetch func(string) (frigg.Page[int], error)
		limit int
		want  []int
		err   error
	}{
		{"all", fetch, 100, []int{1, 2, 3}, nil},
		{"some", fetch, 1, []int{1}, nil},
		{"none", fetch, 0, []int{}, nil},
		{"error", func(cursor string) (frigg.Page[int], error) {
			if cursor == "b" {
				return frigg.Page[int]{}, broken
			}
			return fetch(cursor)
		}, 100, nil, broken},
	} {
		got, err := frigg.Collect(frigg.Each(c.fetch), c.limit)
		if diff := cmp.Diff(c.want, got); diff != "" || !errors.Is(err, c.err) {
			t.Errorf("%s: %v %s", c.name, err, diff)
		}
	}
}

func TestEach_StopsWhereTheListTurnsInACircle(t *testing.T) {
	n := 0
	_, err := frigg.Collect(frigg.Each(func(string) (frigg.Page[int], error) {
		n++
		return frigg.Page[int]{Items: []int{n}, Next: "same"}, nil
	}), 100)
	if !frigg.Is(err, frigg.KindUnavailable) || n != 2 {
		t.Errorf("%d pages, %v", n, err)
	}
}

func TestEachOffset_StopsAtTheTotalOrAnEmptyPage(t *testing.T) {
	all := []int{1, 2, 3, 4, 5}
	for name, total := range map[string]int{"said": 5, "not said": -1, "said too high": 9} {
		asked := 0
		got, err := frigg.Collect(frigg.EachOffset(func(offset int) ([]int, int, error) {
			asked++
			return all[min(offset, 5):min(offset+2, 5)], total, nil
		}), 100)
		if diff := cmp.Diff(all, got); diff != "" || err != nil || asked > 4 {
			t.Errorf("%s: %d pages, %v %s", name, asked, err, diff)
		}
	}
}

func TestEachNumbered_CountsPagesFromOne(t *testing.T) {
	got, err := frigg.Collect(frigg.EachNumbered(func(page int) ([]string, bool, error) {
		return []string{strconv.Itoa(page)}, page < 3, nil
	}), 100)
	if diff := cmp.Diff([]string{"1", "2", "3"}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestForm_BecomesASchemaAndALayout(t *testing.T) {
	low := 0.0
	m, err := frigg.Form{Title: "Sync", Fields: []frigg.Field{
		{Name: "repo", Title: "Repository", Required: true, Options: frigg.Options("a/b", "c/d")},
		{Name: "owner", Options: []frigg.Option{{Value: "1", Title: "Ada"}, {Value: "2"}}},
		{Name: "secret", Format: "password", Placeholder: "whsec_..."},
		{Name: "days", Type: "integer", Default: 3, Min: &low},
	}}.Message()
	if err != nil {
		t.Fatal(err)
	}
	same(t, m.JSONSchema, `{"type":"object","title":"Sync","required":["repo"],"properties":{
		"repo":{"type":"string","title":"Repository","enum":["a/b","c/d"],"minLength":1},
		"owner":{"type":"string","oneOf":[{"const":"1","title":"Ada"},{"const":"2","title":"2"}]},
		"secret":{"type":"string","format":"password"},
		"days":{"type":"integer","default":3,"minimum":0}}}`)
	same(t, m.UISchema, `{"type":"VerticalLayout","elements":[
		{"type":"Control","scope":"#/properties/repo","label":"Repository"},
		{"type":"Control","scope":"#/properties/owner"},
		{"type":"Control","scope":"#/properties/secret","options":{"format":"password","placeholder":"whsec_..."}},
		{"type":"Control","scope":"#/properties/days"}]}`)
}

func same(t *testing.T, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := errors.Join(json.Unmarshal(got, &g), json.Unmarshal([]byte(want), &w)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Error(diff)
	}
}

func ExampleEach() {
	pages := map[string]frigg.Page[string]{"": {Items: []string{"Ada", "Grace"}, Next: "2"}, "2": {Items: []string{"Edsger"}}}
	for name, err := range frigg.Each(func(cursor string) (frigg.Page[string], error) { return pages[cursor], nil }) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(name)
	}
	// Output:
	// Ada
	// Grace
	// Edsger
}

func ExampleHalt() {
	err := frigg.Halt(frigg.Invalid("the order %s has no customer", "ord_5"))
	fault, _ := errors.AsType[*frigg.Fault](err)
	fmt.Println(fault.Kind, fault.Halt, fault.Message)
	// Output: invalid true the order ord_5 has no customer
}
