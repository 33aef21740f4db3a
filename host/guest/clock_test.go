package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// TestClock_NeverGoesBack: whatever ours does, and it is not late once it has caught up.
func TestClock_NeverGoesBack(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		now := time.Unix(1_700_000_000, random.Int64N(1e9))
		var c clock
		c.start(now, bootMono)
		wall, mono := c.wall, c.mono
		for range 200 {
			switch random.IntN(4) {
			case 0:
				now = now.Add(time.Duration(random.Int64N(int64(time.Second)) - int64(time.Second)/3))
				c.catchUp(now)
				if late := now.UnixNano() - c.wall; late > 0 {
					t.Fatalf("it is %d ns late after it has caught up", late)
				}
			case 1:
				c.advance(random.Int64N(1e6))
			}
			w, m := c.lookWall(), c.lookMono()
			if w < wall || m < mono || w == wall && m == mono {
				t.Fatalf("from %d, %d to %d, %d", wall, mono, w, m)
			}
			if w-wall != m-mono && w-wall+tick != m-mono && w-wall != m-mono+tick {
				t.Fatalf("one went %d further and the other %d", w-wall, m-mono)
			}
			wall, mono = w, m
		}
	}
}

// sources are what a call of good reads: 16 random bytes, and both clocks.
func sources(t testing.TB, m Module, c Call) (random [16]byte, wall, mono uint64) {
	t.Helper()
	c.Plugin, c.Export = "p", "sources"
	r, err := m.Call(context.Background(), c)
	if err != nil || len(r.Output) != 32 {
		t.Fatalf("%d bytes, %v", len(r.Output), err)
	}
	return [16]byte(r.Output), binary.LittleEndian.Uint64(r.Output[16:]), binary.LittleEndian.Uint64(r.Output[24:])
}

// TestClock_StartsWithTheCall: each call has the time at its start, also when it was another in the call before.
func TestClock_StartsWithTheCall(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	m := compiled(t, open(t, Config{Imports: []Import{sendImport}, Now: func() time.Time { return now }}), "good")
	_, _, first := sources(t, m, Call{})
	for _, step := range []time.Duration{time.Hour, -2 * time.Hour, 0, time.Nanosecond} {
		now = now.Add(step)
		_, wall, mono := sources(t, m, Call{})
		if wall != uint64(now.UnixNano()) || mono != first {
			t.Errorf("%v later it reads %d and %d, want %d and %d", step, wall, mono, now.UnixNano(), first)
		}
	}
}

// TestClock_CatchesUpWhenTheHostAnswers: the time that a host function took is there after it.
func TestClock_CatchesUpWhenTheHostAnswers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	k := testKernel(1 << 12)
	defer k.cancel()
	k.engine.config.Now = func() time.Time { return now }
	k.clock.start(now, bootMono)
	k.call.Host = func(context.Context, Import, []byte) []byte {
		now = now.Add(3 * time.Second)
		return nil
	}
	before := k.clock.lookMono()
	k.ask(sendImport, nil)
	if wall, mono := k.clock.lookWall(), k.clock.lookMono(); wall != now.UnixNano() || mono-before < int64(3*time.Second) {
		t.Errorf("it reads %d and %d after %d", wall, mono, before)
	}
}

// TestClock_SleepsReallyAndByTheClock: what a Go guest measures over a sleep is how long it slept.
func TestClock_SleepsReallyAndByTheClock(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Imports: []Import{sendImport}, CacheDir: cacheDir(), Now: func() time.Time { return time.Unix(0, 0) }})
	m := compiledBytes(t, e, gopher(t))
	for range 3 {
		start := time.Now()
		r, err := m.Call(context.Background(), Call{Plugin: "p", Export: "nap"})
		if err != nil {
			t.Fatal(err)
		}
		measured := time.Duration(binary.LittleEndian.Uint64(r.Output))
		if took := time.Since(start); took < 20*time.Millisecond || measured < 20*time.Millisecond || measured > 21*time.Millisecond {
			t.Errorf("it slept for %v and measured %v", took, measured)
		}
	}
}

// TestDice_NoTwoCallsShareRandomBytes: of one module at once and one after another.
func TestDice_NoTwoCallsShareRandomBytes(t *testing.T) {
	t.Parallel()
	m := compiled(t, open(t, Config{Imports: []Import{sendImport}}), "good")
	var mu sync.Mutex
	seen := map[[16]byte]bool{}
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			for range 100 {
				random, _, _ := sources(t, m, Call{})
				mu.Lock()
				seen[random] = true
				mu.Unlock()
			}
		})
	}
	calls.Wait()
	if len(seen) != 800 {
		t.Errorf("%d different ones in 800 calls", len(seen))
	}
}

func TestDice_ASeedRepeatsThem(t *testing.T) {
	t.Parallel()
	seeds := map[[16]byte]bool{}
	for _, isolation := range []Isolation{"", Fork, Fresh} {
		m := compiled(t, open(t, Config{Imports: []Import{sendImport}, Isolation: isolation}), "good")
		for n := range 3 {
			seed := [32]byte{byte(n)}
			first, _, _ := sources(t, m, Call{Seed: &seed})
			sources(t, m, Call{})
			if again, _, _ := sources(t, m, Call{Seed: &seed}); again != first {
				t.Errorf("%s: seed %d gave %x and then %x", isolation, n, first, again)
			}
			seeds[first] = true
		}
	}
	if len(seeds) != 3 {
		t.Errorf("3 seeds gave %d streams", len(seeds))
	}
}

// TestDice_DependOnNothingButTheSeed: neither on how much is read at once nor on where it is read to.
func TestDice_DependOnNothingButTheSeed(t *testing.T) {
	t.Parallel()
	var one, other dice
	one.seed([32]byte{1})
	other.seed([32]byte{1})
	whole := make([]byte, 64)
	if err := one.read(whole); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 16 {
		part := make([]byte, 16)
		if err := other.read(part); err != nil || !bytes.Equal(part, whole[at:at+16]) {
			t.Errorf("bytes from %d on are others, %v", at, err)
		}
	}
}

// TestDice_WithoutEntropyThereAreNone: and not zeros.
func TestDice_WithoutEntropyThereAreNone(t *testing.T) {
	t.Parallel()
	var d dice
	d.begin(iotest.ErrReader(errors.New("no entropy")))
	if err := d.read(make([]byte, 8)); err == nil {
		t.Error("it read something")
	}
}
