package rest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
)

func TestForm_FlattensInOrder(t *testing.T) {
	type price struct {
		Price    string   `json:"price"`
		Quantity int64    `json:"quantity"`
		Taxes    []string `json:"taxes,omitempty"`
	}
	got, err := pairs(struct {
		Name     string            `json:"name"`
		Big      int64             `json:"big"`
		Ratio    float64           `json:"ratio"`
		Live     bool              `json:"live"`
		Nothing  *string           `json:"nothing"`
		Left     string            `json:"left,omitempty"`
		Expand   []string          `json:"expand"`
		Empty    []string          `json:"empty"`
		Metadata map[string]string `json:"metadata"`
		Items    []price           `json:"items"`
	}{
		Name: "a&b=c", Big: 9007199254740993, Ratio: 1.5, Live: true, Expand: []string{"x", "y"}, Metadata: map[string]string{"b": "", "a": "1"},
		Items: []price{{"p1", 2, []string{"t"}}, {"p2", 1, nil}},
	})
	want := []abi.Pair{
		{Name: "name", Value: "a&b=c"},
		{Name: "big", Value: "9007199254740993"},
		{Name: "ratio", Value: "1.5"},
		{Name: "live", Value: "true"},
		{Name: "expand[]", Value: "x"},
		{Name: "expand[]", Value: "y"},
		{Name: "metadata[a]", Value: "1"},
		{Name: "metadata[b]", Value: ""},
		{Name: "items[0][price]", Value: "p1"},
		{Name: "items[0][quantity]", Value: "2"},
		{Name: "items[0][taxes][]", Value: "t"},
		{Name: "items[1][price]", Value: "p2"},
		{Name: "items[1][quantity]", Value: "1"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestForm_RefusesWhatHasNoNames(t *testing.T) {
	for _, v := range []any{5, "text", []int{1}, nil, make(chan int)} {
		if got, err := pairs(v); err == nil {
			t.Errorf("%v became %v", v, got)
		}
	}
}

func TestPath_KeepsEachSegmentOne(t *testing.T) {
	for segment, want := range map[string]string{"a b": "a%20b", "a/b": "a%2Fb", "..": "%2E%2E", ".": "%2E", "...": "%2E%2E%2E", "a.b": "a.b", "x?y#z": "x%3Fy%23z", "%2e": "%252e", "": ""} {
		if got := Path("/r/%s/%d", segment, 5); got != "/r/"+want+"/5" {
			t.Errorf("%q: %s", segment, got)
		}
	}
}

func TestPath_EscapesNamedTextsToo(t *testing.T) {
	type id string
	if got := Path("/r/%s", id("a/b")); got != "/r/a%2Fb" {
		t.Error(got)
	}
}

func TestResponse_LinkFindsARelation(t *testing.T) {
	r := &Response{Header: map[string][]string{"link": {
		`<https://x.example/?a=1>; rel="first prev", <https://x.example/?page=3>; title="a"; REL=next`, `<https://x.example/?page=9>; rel="last"`,
	}}}
	for rel, want := range map[string]string{"next": "https://x.example/?page=3", "prev": "https://x.example/?a=1", "last": "https://x.example/?page=9", "up": ""} {
		if got := r.Link(rel); got != want {
			t.Errorf("%s: %q", rel, got)
		}
	}
	for _, broken := range []string{"", ",", "<>", "no; rel=next", "<x; rel=next", "<x>; rel", `<x>; rel="`} {
		if got := (&Response{Header: map[string][]string{"link": {broken}}}).Link("next"); got != "" {
			t.Errorf("%q: %q", broken, got)
		}
	}
}

func TestResponse_DecodeOfAnotherShapeBlamesTheVendor(t *testing.T) {
	var v struct {
		N int `json:"n"`
	}
	err := (&Response{Status: 200, Body: []byte(`{"n":"secret"}`)}).Decode(&v)
	if f := frigg.FaultOf(err); f.Side != frigg.SideRemote || f.Status != 200 || strings.Contains(f.Message, "secret") {
		t.Errorf("%+v", f)
	}
}

func TestOptions_LeaveEmptyValuesOut(t *testing.T) {
	var r Request
	for _, o := range []Option{Query("state", ""), Query("label", "a", "", "b"), Header("If-Match", ""), Header("X", "y")} {
		o(&r)
	}
	if diff := cmp.Diff("label=a&label=b", r.Query.Encode()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"X": "y"}, r.Header); diff != "" {
		t.Error(diff)
	}
}

func FuzzLink(f *testing.F) {
	f.Add(`<https://x.example/?page=3>; rel="next"`)
	f.Fuzz(func(_ *testing.T, header string) {
		(&Response{Header: map[string][]string{"link": {header}}}).Link("next")
	})
}

func ExamplePath() {
	fmt.Println(Path("/repos/%s/%s/issues/%d", "ada", "a/b", 5))
	// Output: /repos/ada/a%2Fb/issues/5
}
