package requester

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/frigg-host/frigg-host/host/fault"
)

// Sent says how much of a request can have reached the other side.
type Sent int

const (
	Never    Sent = iota // certainly nothing: doing it again is safe
	Maybe                // it may have arrived and may have been acted on
	Answered             // the other side answered, but the answer could not be taken: it was acted on
)

func (s Sent) String() string { return [...]string{"never", "maybe", "answered"}[s] }

// Failure is the detail inside every fault of Do; get it with errors.As.
type Failure struct {
	Sent     Sent
	Status   int // of the answer; 0 unless Answered
	Attempts int // see Response
	// Err is the cause, nil if the fault says it all: what an Authorizer returned, or the network's error as text without
	// secrets, in which errors.Is still finds the error of a context.
	Err error
}

func (f *Failure) Error() string {
	text := "sent: " + f.Sent.String()
	if f.Err != nil {
		text = f.Err.Error() + " (" + text + ")"
	}
	return text
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// SentOf returns the Sent of a fault of Do, and Maybe, the careful answer, for an error that does not say.
func SentOf(err error) Sent {
	var f *Failure
	if errors.As(err, &f) {
		return f.Sent
	}
	return Maybe
}

var (
	errTooSlow = errors.New("the time of this request is over")
	errClosing = errors.New("the host is shutting down")
)

// fail is the only exit for errors of a call: it attaches the Failure and lets no secret out.
func (c *call) fail(ctx context.Context, err error) *fault.Error {
	f := c.explain(ctx, err)
	f.Op, f.Msg = "requester.Do", c.secrets.text(f.Msg)
	detail := &Failure{Sent: c.sent, Attempts: c.attempts, Err: c.cause(ctx, err)}
	var a *answeredError
	if errors.As(err, &a) {
		detail.Sent, detail.Status = Answered, a.status
	}
	f.Err = detail
	return f
}

// answeredError marks an error that came after the status line.
type answeredError struct {
	status int
	error
}

func (e *answeredError) Unwrap() error { return e.error }

// cause is what stands behind err. What an Authorizer returned stays as it is; of all else only the scrubbed text is kept, since
// a transport quotes what the other side sent.
func (c *call) cause(ctx context.Context, err error) error {
	var own *fault.Error
	if errors.As(err, &own) {
		return own.Err
	}
	text := c.secrets.text(err.Error())
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: %w", text, ended)
	}
	return errors.New(text)
}

// explain turns any error of a call into a fault for people.
func (c *call) explain(ctx context.Context, err error) *fault.Error {
	remote := func(kind fault.Kind, format string, args ...any) *fault.Error {
		return &fault.Error{Kind: kind, Side: fault.Remote, Msg: fmt.Sprintf(format, args...)}
	}
	var (
		own     *fault.Error
		blocked *blockedError
		noName  *net.DNSError
		dial    *net.OpError
		timeout net.Error
	)
	switch {
	case errors.As(err, &own):
		f := *own
		return &f
	case errors.As(err, &blocked):
		return &fault.Error{
			Kind: fault.Forbidden, Side: fault.Host,
			Msg: c.host + " is not at a public address; if it is meant, the operator opens its network with the option allow_private",
		}
	case context.Cause(ctx) == errClosing:
		return &fault.Error{Kind: fault.Unavailable, Side: fault.Host, Msg: errClosing.Error()}
	case errors.Is(ctx.Err(), context.Canceled):
		return &fault.Error{Kind: fault.Canceled, Side: fault.Caller, Msg: "the caller gave up"}
	case context.Cause(ctx) == errTooSlow:
		return remote(fault.Timeout, "%s did not answer in full within %s", c.host, c.timeout)
	case ctx.Err() != nil:
		return remote(fault.Timeout, "%s did not answer in full before the deadline", c.host)
	case errors.As(err, &noName):
		return remote(fault.Unavailable, "the name %s cannot be resolved", c.host)
	case errors.As(err, &timeout) && timeout.Timeout():
		return remote(fault.Timeout, "%s does not answer", c.host)
	}
	if why := tlsTrouble(err); why != "" {
		return remote(fault.Unavailable, "no secure connection to %s: %s", c.host, why)
	}
	switch {
	case isHeaderFlood(err):
		return remote(fault.TooLarge, "the answer of %s has more than %d bytes of headers", c.host, maxResponseHeaderBytes)
	case errors.As(err, &dial) && dial.Op == "dial":
		return remote(fault.Unavailable, "%s cannot be reached (%s)", c.host, dialTrouble(err))
	case isBadGzip(err):
		return remote(fault.Unavailable, "the answer of %s is not the gzip that it claims to be", c.host)
	}
	return remote(fault.Unavailable, "%s broke the connection or does not speak HTTP", c.host)
}

func tlsTrouble(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return "its certificate is signed by an unknown authority"
	case errors.As(err, &name):
		return "its certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate is expired or not yet valid"
	case errors.As(err, &invalid), errors.As(err, &verify):
		return "its certificate is not valid"
	case errors.As(err, &record):
		return "it does not speak TLS there"
	case errors.As(err, &op) && op.Op == "remote error":
		return "it refused the TLS handshake"
	case strings.HasPrefix(err.Error(), "tls: "):
		return "the TLS handshake failed"
	}
	return ""
}

func dialTrouble(err error) string {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "connection refused"
	}
	return "no route"
}

// isHeaderFlood goes by text: net/http has no type for it.
func isHeaderFlood(err error) bool { return strings.Contains(err.Error(), "response headers exceeded") }

func isBadGzip(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt)
}

// isBroken reports a connection that failed before an answer, for reasons that a second try can cure. A fault is never one: it
// may come from an Authorizer, whose own troubles with the network are not ours.
func isBroken(err error) bool {
	var (
		answered *answeredError
		own      *fault.Error
	)
	if errors.As(err, &answered) || errors.As(err, &own) {
		return false
	}
	for _, cure := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED, syscall.EPIPE} {
		if errors.Is(err, cure) {
			return true
		}
	}
	return strings.Contains(err.Error(), "server closed idle connection") // net/http has no type for it
}
