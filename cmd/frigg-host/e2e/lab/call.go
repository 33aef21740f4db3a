//go:build linux || darwin

package lab

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

var apiClient = &http.Client{Timeout: 30 * time.Second}

// call sends in as JSON, decodes the answer into out, and returns the header of the answer. in and out may be nil, and so may
// authorize, which adds credentials. Anything but 2xx fails t.
func call(t testing.TB, method, address string, authorize func(*http.Request), in, out any) http.Header {
	t.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if authorize != nil {
		authorize(req)
	}
	res, err := apiClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s: %s", method, address, res.Status, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, address, err, text)
		}
	}
	return res.Header
}
