package requester_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// reply answers with raw bytes and closes.
func reply(raw string) func(net.Conn) {
	return func(c net.Conn) { _, _ = c.Write([]byte(raw)) }
}

// forever writes chunk until the other side has had enough.
func forever(first, chunk string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Write([]byte(first))
		for {
			if _, err := c.Write([]byte(chunk)); err != nil {
				return
			}
		}
	}
}

// drip is forever, one byte at a time and slowly: no single read of ours ever waits long.
func drip(first string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Write([]byte(first))
		for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
			if _, err := c.Write([]byte("x")); err != nil {
				tick.Stop()
				return
			}
		}
	}
}

func zipped(t testing.TB, content []byte) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHostileVendor_EndsInATypedFault(t *testing.T) {
	t.Parallel()
	bomb := zipped(t, make([]byte, 50<<20))
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct {
		name   string
		handle func(net.Conn)
		kind   fault.Kind
		sent   requester.Sent
		status int
		say    string
	}{
		{"never answers", untilGone, fault.Timeout, requester.Maybe, 0, "within 700ms"},
		{"trickles the status line", drip("H"), fault.Timeout, requester.Maybe, 0, "within"},
		{"trickles headers", drip(ok + "X: "), fault.Timeout, requester.Maybe, 0, "within"},
		{"trickles the body", drip(ok + "\r\n"), fault.Timeout, requester.Answered, 200, "within"},
		{"stops in the body", func(c net.Conn) { reply(ok + "Content-Length: 10\r\n\r\nabc")(c); untilGone(c) }, fault.Timeout, requester.Answered, 200, "within"},
		{"50 MB announced", func(c net.Conn) { reply(ok + "Content-Length: 52428800\r\n\r\n")(c); untilGone(c) }, fault.TooLarge, requester.Answered, 200, "more than 1048576 bytes"},
		{"endless body", forever(ok+"\r\n", strings.Repeat("x", 32<<10)), fault.TooLarge, requester.Answered, 200, "more than"},
		{"endless chunks", forever(ok+"Transfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n"), fault.TooLarge, requester.Answered, 200, "more than"},
		{"endless chunk extension", forever(ok+"Transfer-Encoding: chunked\r\n\r\n3;", strings.Repeat("x", 1024)), fault.Unavailable, requester.Answered, 200, ""},
		{"gzip bomb", reply(ok + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(bomb)) + bomb), fault.TooLarge, requester.Answered, 200, "more than"},
		{"endless headers", forever(ok, "X-Header: "+strings.Repeat("x", 1000)+"\r\n"), fault.TooLarge, requester.Maybe, 0, "bytes of headers"},
		{"200 KB of headers", reply(ok + strings.Repeat("X: "+strings.Repeat("x", 995)+"\r\n", 200) + "\r\n"), fault.TooLarge, requester.Maybe, 0, "bytes of headers"},
		{"one endless header", forever(ok+"X: ", strings.Repeat("x", 1000)), fault.TooLarge, requester.Maybe, 0, "bytes of headers"},
		{"endless interim answers", forever("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), fault.TooLarge, requester.Maybe, 0, "bytes of headers"},
		{"switches protocols", func(c net.Conn) {
			reply("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")(c)
			untilGone(c)
		}, fault.Unsupported, requester.Answered, 101, "switches protocols"},
		{"unknown encoding", reply(ok + "Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc"), fault.Unsupported, requester.Answered, 200, `"br"`},
		{"twice encoded", reply(ok + "Content-Encoding: gzip, gzip\r\nContent-Length: 3\r\n\r\nabc"), fault.Unsupported, requester.Answered, 200, "gzip, gzip"},
		{"false gzip", reply(ok + "Content-Encoding: gzip\r\nContent-Length: 30\r\n\r\n" + strings.Repeat("not", 10)), fault.Unavailable, requester.Answered, 200, "not the gzip"},
		{"broken gzip", reply(ok + "Content-Encoding: gzip\r\n\r\n" + zipped(t, []byte("abc"))[:15]), fault.Unavailable, requester.Answered, 200, "broke"},
		{"not HTTP", reply("SSH-2.0-OpenSSH_9.6\r\n"), fault.Unavailable, requester.Maybe, 0, "does not speak HTTP"},
		{"bad status", reply("HTTP/1.1 abc\r\n\r\n"), fault.Unavailable, requester.Maybe, 0, "does not speak HTTP"},
		{"two lengths", reply(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), fault.Unavailable, requester.Maybe, 0, "does not speak HTTP"},
		{"redirects without an end", func(c net.Conn) { reply("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n")(c); untilGone(c) }, fault.Unavailable, requester.Maybe, 0, "redirects more than"},
		{"redirect that stops in the body", func(c net.Conn) {
			reply("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 9\r\n\r\nx")(c)
			untilGone(c)
		}, fault.Timeout, requester.Answered, 302, "within"},
		{"says nothing and goes", func(net.Conn) {}, fault.Unavailable, requester.Maybe, 0, "broke the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base, _ := wireVendor(t, c.handle)
			timeout := 20 * time.Second // only what is meant to run into it waits for it
			if c.kind == fault.Timeout {
				timeout = 700 * time.Millisecond
			}
			_, err := open(t).Do(t.Context(), allow(t, base), requester.Request{Method: "POST", URL: base, Timeout: timeout, MaxResponseBytes: 1 << 20}, nil)
			f := wantFault(t, err, c.kind, fault.Remote)
			wantMessage(t, err, c.say)
			if f.Sent != c.sent || f.Status != c.status {
				t.Errorf("sent %v, status %d (%v)", f.Sent, f.Status, err)
			}
		})
	}
}

func TestHostileVendor_ThatReadsNothingIsLeft(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // connects, by the backlog, and never reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	base := "http://" + l.Addr().String()
	_, err = open(t).Do(t.Context(), allow(t, base), requester.Request{Method: "POST", URL: base, Body: make([]byte, 30<<20), Timeout: 500 * time.Millisecond}, nil)
	if f := wantFault(t, err, fault.Timeout, fault.Remote); f.Sent != requester.Maybe {
		t.Errorf("sent %v", f.Sent)
	}
}

func TestHeaderTimeout_IsForTheHeadOnly(t *testing.T) {
	t.Parallel()
	base, _ := wireVendor(t, untilGone)
	r := open(t, func(c *requester.Config) { c.HeaderTimeout = 50 * time.Millisecond })
	_, err := get(t, r, base)
	wantFault(t, err, fault.Timeout, fault.Remote)
	wantMessage(t, err, "does not answer")
}

// An answer that is cut after any number of bytes is either whole or a fault, never a short body.
func TestHostileVendor_ThatCutsAfterNBytes(t *testing.T) {
	t.Parallel()
	content := "hello, world"
	packed := zipped(t, []byte(content))
	for _, whole := range []string{
		fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(content), content),
		fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(content), content),
		fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(packed), packed),
	} {
		cut := make(chan int, 1)
		base, _ := wireVendor(t, func(c net.Conn) { reply(whole[:<-cut])(c) })
		r := open(t)
		for n := range len(whole) + 1 {
			cut <- n
			res, err := r.Do(t.Context(), allow(t, base), requester.Request{Method: "POST", URL: base}, nil)
			switch {
			case err != nil:
				wantFault(t, err, fault.Unavailable, fault.Remote)
			case string(res.Body) != content:
				t.Errorf("cut after %d of %d bytes: %q", n, len(whole), res.Body)
			}
			if n == len(whole) && err != nil {
				t.Errorf("uncut: %v", err)
			}
		}
	}
}

func TestDo_CanceledByTheCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	base, _ := wireVendor(t, func(c net.Conn) { cancel(); untilGone(c) })
	_, err := open(t).Do(ctx, allow(t, base), requester.Request{URL: base}, nil)
	if f := wantFault(t, err, fault.Canceled, fault.Caller); f.Sent != requester.Maybe || f.Attempts != 1 {
		t.Errorf("%+v", f)
	}
}

func TestDo_TheCallersDeadlineCounts(t *testing.T) {
	t.Parallel()
	base, _ := wireVendor(t, untilGone)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := open(t).Do(ctx, allow(t, base), requester.Request{URL: base}, nil)
	wantFault(t, err, fault.Timeout, fault.Remote)
	wantMessage(t, err, "before the deadline")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the context's error is lost in %v", err)
	}
}

func TestClose_EndsCallsAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	base, _ := wireVendor(t, func(c net.Conn) { close(arrived); untilGone(c) })
	r := open(t)
	failed := make(chan error)
	go func() {
		_, err := r.Do(context.Background(), allow(t, base), requester.Request{Method: "POST", URL: base}, nil)
		failed <- err
	}()
	<-arrived
	go r.Close()
	err := <-failed
	if f := wantFault(t, err, fault.Unavailable, fault.Host); f.Sent != requester.Maybe {
		t.Errorf("sent %v", f.Sent)
	}
	r.Close()
	_, err = get(t, r, base)
	if f := wantFault(t, err, fault.Unavailable, fault.Host); f.Sent != requester.Never {
		t.Errorf("sent %v", f.Sent)
	}
}

func TestClose_WaitsForCallsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := requester.New(requester.Config{})
		release, closed := make(chan struct{}), false
		go func() {
			_, err := r.Do(context.Background(), allow(t, "https://api.example"), requester.Request{URL: "https://api.example"}, authorize(func(*requester.Outgoing) []secret.Text {
				<-release
				return nil
			}))
			wantFault(t, err, fault.Unavailable, fault.Host)
		}()
		synctest.Wait()
		go func() { r.Close(); closed = true }()
		synctest.Wait()
		if closed {
			t.Error("Close came back before the call")
		}
		close(release)
		synctest.Wait()
		if !closed {
			t.Error("Close does not come back")
		}
	})
}

func TestDo_NetworkFaults(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "http://" + l.Addr().String()
	l.Close()
	plain, _ := vendor(t, echo)
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	r := open(t, func(c *requester.Config) { c.Resolver = names(func(string) []string { return nil }) })
	for _, c := range []struct{ name, url, say string }{
		{"refused", refusing, "cannot be reached (connection refused)"},
		{"no such name", "http://nobody.example/", "the name nobody.example cannot be resolved"},
		{"unknown authority", untrusted.URL, "signed by an unknown authority"},
		{"no TLS", strings.Replace(plain, "http:", "https:", 1), "does not speak TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := get(t, r, c.url)
			if f := wantFault(t, err, fault.Unavailable, fault.Remote); f.Sent != requester.Never {
				t.Errorf("sent %v", f.Sent)
			}
			wantMessage(t, err, c.say)
		})
	}
}

func TestDo_TLSFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, say string
		server    *tls.Config
	}{
		{"expired", "expired or not yet valid", &tls.Config{Certificates: []tls.Certificate{certificate(t, time.Now().Add(-time.Hour), x509.ExtKeyUsageServerAuth)}}},
		{"not for servers", "is not valid", &tls.Config{Certificates: []tls.Certificate{certificate(t, time.Now().Add(time.Hour), x509.ExtKeyUsageCodeSigning)}}},
		{"old version only", "refused the TLS handshake", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}},
		{"wants a client certificate", "refused the TLS handshake", &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.TLS, s.Config.ErrorLog = c.server, log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			roots := x509.NewCertPool()
			roots.AddCert(s.Certificate())
			_, err := get(t, open(t, func(cfg *requester.Config) { cfg.RootCAs = roots }), s.URL)
			if f := wantFault(t, err, fault.Unavailable, fault.Remote); f.Sent != requester.Never || f.Attempts != 1 {
				t.Errorf("%+v", f)
			}
			wantMessage(t, err, c.say)
		})
	}
}

// certificate makes one for 127.0.0.1 that signs itself.
func certificate(t *testing.T, until time.Time, use x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: until.Add(-2 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{use}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestDo_CertificateForAnotherName(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	r := open(t, func(c *requester.Config) {
		c.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		c.Resolver = names(func(string) []string { return []string{"127.0.0.1"} })
	})
	_, err := get(t, r, "https://api.elsewhere.test:"+port)
	wantFault(t, err, fault.Unavailable, fault.Remote)
	wantMessage(t, err, "for another name")
	res, err := get(t, r, "https://example.com:"+port)
	if err != nil || res.Status != 404 {
		t.Errorf("the right name: %+v, %v", res, err)
	}
}

func TestResponse_LimitCountsDecodedBytes(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		content := strings.Repeat("x", 1000)
		if r.URL.Path == "/gzip" {
			w.Header().Set("Content-Encoding", "gzip")
			content = zipped(t, []byte(content))
		}
		_, _ = w.Write([]byte(content))
	})
	r := open(t)
	for _, path := range []string{"/plain", "/gzip"} {
		for limit, fits := range map[int64]bool{1000: true, 999: false} {
			res, err := r.Do(t.Context(), allow(t, base), requester.Request{URL: base + path, MaxResponseBytes: limit}, nil)
			if !fits {
				wantFault(t, err, fault.TooLarge, fault.Remote)
				continue
			}
			if err != nil || len(res.Body) != 1000 || res.Header.Get("Content-Encoding") != "" {
				t.Errorf("%s: %v, %v", path, res, err)
			}
		}
	}
}

func TestResponse_BombCostsLittleMoreThanTheLimit(t *testing.T) {
	base, _ := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		zeros := make([]byte, 1<<20)
		for range 200 {
			_, _ = z.Write(zeros)
		}
		_ = z.Close()
	})
	r := open(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := r.Do(t.Context(), allow(t, base), requester.Request{URL: base, MaxResponseBytes: 1 << 20}, nil)
	runtime.ReadMemStats(&after)
	wantFault(t, err, fault.TooLarge, fault.Remote)
	if used := after.TotalAlloc - before.TotalAlloc; used > 24<<20 {
		t.Errorf("a limit of 1 MiB allocated %d MiB", used>>20)
	}
}

func TestResponse_GzipIsNotAskedForWithARange(t *testing.T) {
	t.Parallel()
	base, _ := vendor(t, echo)
	res, err := open(t).Do(t.Context(), allow(t, base), requester.Request{URL: base, Header: http.Header{"Range": {"bytes=0-99"}}}, nil)
	if err != nil || echoed(t, res).Header.Get("Accept-Encoding") != "" {
		t.Errorf("%s, %v", res.Body, err)
	}
}
