package process

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/guest"
)

// lie runs a call against a child that answers it with these bytes.
func lie(said func(id uint64) []byte, c *guest.Call) (guest.Result, bool, error) {
	in, out := io.Pipe()
	l := newLink(&Config{Config: guest.Config{Imports: []guest.Import{send}}, stuck: time.Minute}, io.Discard, func(err error) { in.CloseWithError(err) })
	r := l.open(c)
	read := make(chan struct{})
	go func() {
		defer close(read)
		err := cmp.Or(l.read(in), io.EOF)
		in.CloseWithError(io.ErrClosedPipe)
		l.fail(err)
	}()
	go func() {
		_, _ = out.Write(said(r.id))
		out.Close()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	t := &conversation{link: l, running: r, call: c, caller: ctx, limit: ctx, time: time.Minute}
	res, over, err := t.talk()
	l.leave(r)
	<-read
	return res, over, err
}

func framed(fs ...frame) []byte {
	var b bytes.Buffer
	for _, f := range fs {
		if err := f.write(&b); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func TestParent_BelievesNothing(t *testing.T) {
	t.Parallel()
	index := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	ok := func(id uint64) frame { return frame{kindResult, id, []byte(`{}`), []byte("fine")} }
	small := guest.Limits{OutputBytes: 10, ArenaBytes: 10, LogBytes: 10, LogLines: 2, HostCalls: 2}
	for _, c := range []struct {
		name string
		said func(id uint64) []byte
		fine bool
	}{
		{"a result", func(id uint64) []byte { return framed(ok(id)) }, true},
		{"frames of other calls are read over", func(id uint64) []byte {
			return framed(frame{kindResult, id + 1, []byte("{}"), make([]byte, 1<<20)}, frame{kindHost, 0, nil, nil}, ok(id))
		}, true},
		{"nothing", func(uint64) []byte { return nil }, false},
		{"half a header", func(uint64) []byte { return []byte{byte(kindResult), 1, 0} }, false},
		{"half a frame", func(id uint64) []byte { b := framed(ok(id)); return b[:len(b)-1] }, false},
		{"an unknown kind", func(id uint64) []byte { return framed(frame{kind: 99, id: id}, ok(id)) }, false},
		{"a kind of the parent", func(id uint64) []byte { return framed(frame{kind: kindCall, id: id}, ok(id)) }, false},
		{"a large output", func(id uint64) []byte { return framed(frame{kindResult, id, []byte("{}"), make([]byte, 11)}) }, false},
		{"a large request", func(id uint64) []byte { return framed(frame{kindHost, id, index(0), make([]byte, 11)}, ok(id)) }, false},
		{"a large line", func(id uint64) []byte { return framed(frame{kindLog, id, []byte{1}, make([]byte, 31)}, ok(id)) }, false},
		{"a size that is not there", func(id uint64) []byte {
			b := framed(ok(id))
			binary.LittleEndian.PutUint32(b[13:], 1<<32-1)
			return b
		}, false},
		{"a large message", func(id uint64) []byte {
			return framed(frame{kindResult, id, []byte(strings.Repeat(" ", maxMeta) + "{}"), nil})
		}, false},
		{"no message", func(id uint64) []byte { return framed(frame{kindResult, id, []byte("{"), nil}) }, false},
		{"another type", func(id uint64) []byte {
			return framed(frame{kindResult, id, []byte(`{"result":{"HostCalls":"x"}}`), nil})
		}, false},
		{"an import that is not there", func(id uint64) []byte { return framed(frame{kindHost, id, index(1), nil}) }, false},
		{"no import", func(id uint64) []byte { return framed(frame{kindHost, id, nil, nil}) }, false},
		{"a source that was not offered", func(id uint64) []byte { return framed(frame{kindSource, 0, []byte{sourceNow}, index(0)}) }, false},
		{"a source that does not exist", func(id uint64) []byte { return framed(frame{kindSource, 0, []byte{9}, index(0)}) }, false},
		{"many readies", func(id uint64) []byte { return framed(frame{kind: kindReady}, frame{kind: kindReady}) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, over, err := lie(c.said, &guest.Call{Plugin: "p", Export: "x", Limits: small, Host: echo, Log: func(guest.Level, string) {}})
			switch {
			case !over:
				t.Error("the call is not over")
			case c.fine && (err != nil || string(r.Output) != "fine"):
				t.Errorf("got %q, %v", r.Output, err)
			case !c.fine:
				wantCrash(t, err)
			}
		})
	}
}

func echo(_ context.Context, _ guest.Import, request []byte) []byte { return bytes.Clone(request) }

// A child that was taken over cannot log more, or ask the host more often, than the call may.
func TestParent_KeepsTheLimitsItself(t *testing.T) {
	t.Parallel()
	for _, f := range []frame{{kindHost, 0, make([]byte, 4), nil}, {kindLog, 0, []byte{1}, []byte("12345678901234567890")}} {
		parent, asks := answering(t, f, 100)
		_, _, err := parent()
		wantCrash(t, err)
		if n := asks(); n > 3 {
			t.Errorf("kind %d: %d times", f.kind, n)
		}
	}
}

// answering is a call against a child that sends f again each time that it is answered.
func answering(t *testing.T, f frame, times int) (run func() (guest.Result, bool, error), asks func() int) {
	in, out := io.Pipe()
	answers, answered := io.Pipe()
	n := 0
	l := newLink(&Config{Config: guest.Config{Imports: []guest.Import{send}}, stuck: time.Minute}, answered, func(err error) {
		in.CloseWithError(err)
		answers.CloseWithError(err)
	})
	count := func() { n++ }
	c := &guest.Call{
		Plugin: "p", Export: "x", Limits: guest.Limits{HostCalls: 2, LogLines: 2, LogBytes: 20},
		Host: func(context.Context, guest.Import, []byte) []byte { count(); return nil },
		Log:  func(guest.Level, string) { count() },
	}
	r := l.open(c)
	f.id = r.id
	go func() { l.fail(cmp.Or(l.read(in), io.EOF)) }()
	go func() {
		defer out.Close()
		fs := newFrames(answers, func(kind, uint64) (room, error) { return room{maxMeta, maxMeta, true}, nil })
		for range times {
			if _, err := fs.next(); err != nil {
				return
			}
			if f.write(out) != nil {
				return
			}
		}
	}()
	return func() (guest.Result, bool, error) {
		tk := &conversation{link: l, running: r, call: c, caller: t.Context(), limit: t.Context(), time: time.Minute}
		return tk.talk()
	}, func() int { return n }
}

func TestFailure_OfAChildIsBounded(t *testing.T) {
	t.Parallel()
	f := guest.Failure{Reason: "made up", Kind: "unauthorized", Text: strings.Repeat("x", 1<<20), Detail: strings.Repeat("\xff", 1<<20), RetryAfter: 1 << 60}
	err := f.Err("guest.Call", "p")
	if guest.ReasonOf(err) != guest.ReasonHost || len(err.Error()) > 64<<10 {
		t.Errorf("%d bytes: %.100v", len(err.Error()), err)
	}
	for _, reason := range []guest.Reason{guest.ReasonDeadline, guest.ReasonCanceled} {
		err := (&guest.Failure{Reason: reason, Text: "t"}).Err("guest.Call", "p")
		want := map[guest.Reason]error{guest.ReasonDeadline: context.DeadlineExceeded, guest.ReasonCanceled: context.Canceled}[reason]
		if !errors.Is(err, want) || guest.ReasonOf(err) != reason {
			t.Error(err)
		}
	}
}

// FuzzParent: whatever a child says, the call ends, and takes no more than it may.
func FuzzParent(f *testing.F) {
	f.Add(framed(frame{kindResult, 1, []byte(`{}`), []byte("fine")}))
	f.Add(framed(frame{kindLog, 1, []byte{2}, []byte("line")}, frame{kindResult, 1, []byte(`{"failure":{"reason":"trap","text":"x"}}`), nil}))
	f.Add(framed(frame{kindHost, 1, make([]byte, 4), []byte("request")}))
	f.Add(framed(frame{kindSource, 0, []byte{0}, make([]byte, 4)}, frame{kindReady, 0, []byte(`{"exports":["a"]}`), nil}))
	f.Add([]byte{byte(kindResult), 1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, said []byte) {
		limits := guest.Limits{OutputBytes: 100, ArenaBytes: 100, LogBytes: 100, LogLines: 10, HostCalls: 10}
		asked := 0
		r, over, err := lie(func(uint64) []byte { return said }, &guest.Call{
			Plugin: "p", Export: "x", Limits: limits,
			Host: func(_ context.Context, _ guest.Import, request []byte) []byte {
				if asked += len(request) + 1; len(request) > 100 {
					t.Fatal("a large request")
				}
				return nil
			},
			Log: func(guest.Level, string) {},
		})
		if !over || err == nil && len(r.Output) > 100 || err != nil && r.Output != nil || asked > 1010 {
			t.Fatalf("over %v, %d bytes, asked %d: %v", over, len(r.Output), asked, err)
		}
	})
}
