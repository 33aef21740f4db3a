package guest

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"time"
)

// clock is the time that a guest sees: it stands still but for one step with each look at it, and catches up with ours
// whenever the host has answered. So a run depends on nothing but its start, its seed and what the host answered, and no
// guest can measure others by how long they take.
type clock struct {
	wall, mono int64     // nanoseconds
	synced     time.Time // when they were right
}

// tick is how far a look moves the clock: time never stands still for a guest that waits for it.
const tick = int64(time.Microsecond)

func (c *clock) start(now time.Time, mono int64) {
	*c = clock{wall: now.UnixNano(), mono: mono, synced: now}
}

// catchUp moves the clock to now.
func (c *clock) catchUp(now time.Time) {
	c.advance(max(0, int64(now.Sub(c.synced))-(c.wall-c.synced.UnixNano())))
}

func (c *clock) advance(ns int64) { c.wall, c.mono = c.wall+ns, c.mono+ns }

// lookWall and lookMono answer one look.
func (c *clock) lookWall() int64 {
	defer c.advance(tick)
	return c.wall
}

func (c *clock) lookMono() int64 {
	defer c.advance(tick)
	return c.mono
}

// What a guest sees while it is set up, before any call: always the same, so that images are.
var bootTime = time.Unix(1_700_000_000, 0)

const bootMono = int64(time.Second)

// dice are the random bytes of a run: a stream that its seed determines.
type dice struct {
	source io.Reader
	stream *rand.ChaCha8
}

func (d *dice) begin(source io.Reader) { *d = dice{source: source} }

// seed makes the stream that of a known seed.
func (d *dice) seed(s [32]byte) { d.stream = rand.NewChaCha8(s) }

// read fills b.
func (d *dice) read(b []byte) error {
	if d.stream == nil {
		var s [32]byte
		if _, err := io.ReadFull(d.source, s[:]); err != nil {
			return err
		}
		d.seed(s)
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, d.stream.Uint64())
		b = b[8:]
	}
	if len(b) > 0 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], d.stream.Uint64())
		copy(b, word[:])
	}
	return nil
}
