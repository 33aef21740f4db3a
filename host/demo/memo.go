package demo

import (
	"bytes"
	"net/http"
)

// memo is a ResponseWriter that keeps the answer instead of sending it.
type memo struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newMemo() *memo { return &memo{header: http.Header{}} }

func (m *memo) Header() http.Header { return m.header }

func (m *memo) WriteHeader(status int) {
	if m.status == 0 {
		m.status = status
	}
}

func (m *memo) Write(b []byte) (int, error) {
	m.WriteHeader(http.StatusOK)
	return m.body.Write(b)
}
