package connection_test

import (
	"net/http"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/connection"
)

// BenchmarkSend is one request on a connection to a vendor on this machine: reading, opening, sending, judging.
func BenchmarkSend(b *testing.B) {
	r := newRig(b)
	r.vendor.handle("/api/x", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	e := r.connect().EntityID
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Send(b.Context(), r.mine.Owner, e, abi.HTTPRequest{URL: "/x"}, connection.CallOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
