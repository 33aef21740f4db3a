package process

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// kind of a frame.
type kind byte

// Kinds. Within one call the two sides take turns, so that neither ever has to keep more than one frame for it: after
// kindHost, kindSleep and kindLog the child waits for kindAnswer. Only kindCancel may come at any time.
const (
	// From the parent.
	kindSetUp  kind = iota + 1 // meta setUp, body the module; once, first
	kindCall                   // meta call, body the input
	kindCancel                 // of a call
	kindAnswer                 // meta one verdict, body the answer of a host function or source

	// From the child.
	kindReady  // meta ready; once, first
	kindHost   // meta the number of the import, body the request
	kindSleep  // body how long, in nanoseconds
	kindLog    // meta the level, body the line
	kindSource // meta one source, body how many bytes; its id is 0
	kindResult // meta result, body the output; the last of a call
)

// Verdicts in kindAnswer.
const (
	answered byte = iota
	failed        // the function of the host panicked
	late          // the call's time is over
)

// Sources that the child may ask for.
const (
	sourceEntropy byte = iota
	sourceNow
)

// frame is the unit of the wire: a header of kind, id of the call, and the two lengths, all little endian; then meta, which
// is small, and body, which are a caller's or guest's bytes.
type frame struct {
	kind kind
	id   uint64
	meta []byte
	body []byte
}

const (
	headerBytes = 1 + 8 + 4 + 4
	maxBody     = math.MaxUint32 // that the header can say
	maxMeta     = 64 << 10
	maxReady    = 4 << 20 // a module may have very many exports
	copied      = 16 << 10
)

var errTooLarge = errors.New("a frame is larger than it may be")

// write writes f, in one piece if it is small: what a pipe wakes up for costs more than copying.
func (f frame) write(w io.Writer) error {
	if uint64(len(f.body)) > maxBody || len(f.meta) > maxReady {
		return errTooLarge
	}
	b := make([]byte, 0, headerBytes+len(f.meta)+min(len(f.body), copied))
	b = append(b, byte(f.kind))
	b = binary.LittleEndian.AppendUint64(b, f.id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.meta)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.body)))
	b = append(b, f.meta...)
	n := copy(b[len(b):cap(b)], f.body)
	if _, err := w.Write(b[:len(b)+n]); err != nil || n == len(f.body) {
		return err
	}
	_, err := w.Write(f.body[n:])
	return err
}

// room is how many bytes of meta and body a frame may have. A frame that is not wanted is read over.
type room struct {
	meta, body uint64
	wanted     bool
}

// frames reads frames from a side that is not trusted: nothing is allocated before room has said how much it may be.
type frames struct {
	r    *bufio.Reader
	room func(kind, uint64) (room, error)
}

func newFrames(r io.Reader, rooms func(kind, uint64) (room, error)) *frames {
	return &frames{bufio.NewReaderSize(r, 64<<10), rooms}
}

// next returns the next frame that is wanted. io.EOF is the end between two frames.
func (fs *frames) next() (frame, error) {
	for {
		var header [headerBytes]byte
		if _, err := io.ReadFull(fs.r, header[:]); err != nil {
			return frame{}, err
		}
		f := frame{kind: kind(header[0]), id: binary.LittleEndian.Uint64(header[1:])}
		meta, body := binary.LittleEndian.Uint32(header[9:]), binary.LittleEndian.Uint32(header[13:])
		r, err := fs.room(f.kind, f.id)
		switch {
		case err != nil:
			return frame{}, err
		case uint64(meta) > r.meta || uint64(body) > r.body:
			return frame{}, fmt.Errorf("%w: kind %d with %d and %d bytes", errTooLarge, f.kind, meta, body)
		case !r.wanted:
			if err := fs.skip(int64(meta) + int64(body)); err != nil {
				return frame{}, err
			}
			continue
		}
		both := make([]byte, int(meta)+int(body))
		if _, err := io.ReadFull(fs.r, both); err != nil {
			return frame{}, noEOF(err)
		}
		f.meta, f.body = both[:meta:meta], both[meta:]
		return f, nil
	}
}

func (fs *frames) skip(n int64) error {
	_, err := io.CopyN(io.Discard, fs.r, n)
	return noEOF(err)
}

// noEOF: the end within a frame is not the end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
