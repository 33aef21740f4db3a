package process

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/guest"
)

var errEnough = errors.New("enough")

func TestCall_SleepsInTheParent(t *testing.T) {
	t.Parallel()
	m := compile(t, open(t, Config{}), "hostile")
	var slept time.Duration
	c := guest.Call{Plugin: "p", Export: "sleep_an_hour", Sleep: func(_ context.Context, d time.Duration) { slept += d }}
	if _, err := m.Call(context.Background(), c); err != nil || slept != time.Hour {
		t.Fatalf("slept %v, %v", slept, err)
	}
	c.Sleep = func(context.Context, time.Duration) { guest.End(errEnough) }
	if _, err := m.Call(context.Background(), c); !errors.Is(err, errEnough) || guest.ReasonOf(err) != guest.ReasonEnded {
		t.Errorf("ended while it slept: %v", err)
	}
}

func TestCall_TheHostCanEndIt(t *testing.T) {
	t.Parallel()
	m := compile(t, open(t, Config{}), "good")
	why := &fault.Error{Kind: fault.Conflict, Side: fault.Remote, Msg: "decide", Err: errEnough}
	c := guest.Call{Plugin: "p", Export: "send", Input: []byte("x"), Host: func(context.Context, guest.Import, []byte) []byte {
		guest.End(why)
		return nil
	}}
	_, err := m.Call(context.Background(), c)
	if !errors.Is(err, errEnough) || !fault.Is(err, fault.Conflict) || fault.SideOf(err) != fault.Remote || fault.PublicMessage(err) != "decide" {
		t.Errorf("%v", err)
	}
	c.Host = func(_ context.Context, _ guest.Import, q []byte) []byte { return q }
	if r, err := m.Call(context.Background(), c); err != nil || string(r.Output) != "x" {
		t.Errorf("the child does not go on: %q, %v", r.Output, err)
	}
}
