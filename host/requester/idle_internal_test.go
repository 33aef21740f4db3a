package requester

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// dialBy replaces the network.
func (r *Requester) dialBy(dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	r.transport.repeatable.DialContext, r.transport.others.DialContext = dial, dial
}

// sleepy is a server that closes a connection which has idled for 5 seconds, and notices only when the next request is there.
type sleepy struct {
	mu          sync.Mutex
	connections int
}

func (s *sleepy) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	s.mu.Lock()
	s.connections++
	s.mu.Unlock()
	go func() {
		defer theirs.Close()
		in := bufio.NewReader(theirs)
		for {
			idle := time.Now()
			req, err := http.ReadRequest(in)
			if err != nil || time.Since(idle) >= 5*time.Second {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if _, err := io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
				return
			}
		}
	}()
	return ours, nil
}

func TestIdle_AWriteNeverMeetsAConnectionThatTheServerIsClosing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method      string
		pause       time.Duration
		connections int
	}{
		{"POST", 0, 1},
		{"POST", 6 * time.Second, 2},
		{"PATCH", 6 * time.Second, 2},
		{"GET", 3 * time.Second, 1},
		{"GET", 6 * time.Second, 2}, // sent again
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &sleepy{}
			r := New(Config{})
			defer r.Close()
			r.dialBy(server.dial)
			rule, err := ParseHostRule("http://api.example.com")
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := r.Do(t.Context(), Policy{Hosts: []HostRule{rule}}, Request{Method: c.method, URL: "http://api.example.com/"}, nil); err != nil {
					t.Errorf("%s after %s: %v", c.method, c.pause, err)
				}
				time.Sleep(c.pause) // of the fake clock
			}
			if server.connections != c.connections {
				t.Errorf("%s after %s: %d connections, want %d", c.method, c.pause, server.connections, c.connections)
			}
		})
	}
}
