package journal

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// kind of a record. New ones may be added; what is there keeps its meaning for ever.
type kind string

const (
	kindBegin   kind = "begin"   // a try, from the start
	kindReopen  kind = "reopen"  // the last try goes on, without its last answer
	kindAnswer  kind = "answer"  // a host call and its answer
	kindIntent  kind = "intent"  // an effect outside is about to happen
	kindOutcome kind = "outcome" // its answer
	kindSleep   kind = "sleep"   // a wait begins
	kindPin     kind = "pin"     // the version of a guest that answers a host call
	kindDecide  kind = "decide"  // a person's decision
	kindEnd     kind = "end"     // of the try
)

// record is one line of a log: what is below as JSON, then the bytes of request and answer as they are.
type record struct {
	Kind       kind          `json:"kind"`
	Path       Path          `json:"path,omitempty"`
	Capability string        `json:"capability,omitempty"`
	Function   string        `json:"function,omitempty"`
	Class      abi.Class     `json:"class,omitempty"`
	Asked      time.Time     `json:"asked,omitzero"`
	At         time.Time     `json:"at,omitzero"`
	Key        string        `json:"key,omitempty"`
	Until      time.Time     `json:"until,omitzero"`
	Digest     plugin.Digest `json:"digest,omitempty"`
	Recalled   bool          `json:"recalled,omitempty"`
	Replay     int           `json:"replay,omitempty"`
	Start      *Start        `json:"start,omitempty"`
	End        *Ending       `json:"end,omitempty"`
	Decision   *Decision     `json:"decision,omitempty"`
	// Lengths of what follows, and the hash of an answer that is kept beside the log.
	RequestBytes int    `json:"request_bytes,omitempty"`
	AnswerBytes  int    `json:"answer_bytes,omitempty"`
	AnswerRef    string `json:"answer_ref,omitempty"`

	request, answer []byte
}

const (
	// version of the encoding of a chunk, its first byte.
	version = 1
	// apart is from where on an answer is kept beside the log, once for each content.
	apart = 64 << 10
	// maxPlain bounds what a chunk or blob becomes when it is unpacked.
	maxPlain = 256 << 20
)

// Chunk is a piece of a log, written in one act.
type Chunk struct {
	Data  []byte            // packed
	Blobs map[string][]byte // packed large answers by the hex SHA-256 of what they are
	// Entries and Bytes are how much the log grows.
	Entries, Bytes int
}

// pack encodes records.
func pack(records []*record) (*Chunk, error) {
	var plain bytes.Buffer
	c := &Chunk{}
	for _, r := range records {
		head := *r
		head.RequestBytes, head.AnswerBytes = len(r.request), len(r.answer)
		answer := r.answer
		if len(answer) >= apart {
			sum := sha256.Sum256(answer)
			head.AnswerRef = hex.EncodeToString(sum[:])
			if c.Blobs == nil {
				c.Blobs = map[string][]byte{}
			}
			blob, err := squeeze(answer)
			if err != nil {
				return nil, err
			}
			if c.Blobs[head.AnswerRef] == nil {
				c.Bytes += len(blob)
			}
			c.Blobs[head.AnswerRef] = blob
			answer = nil
		}
		line, err := json.Marshal(head)
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "journal.pack", "a record cannot be written")
		}
		plain.Write(line)
		plain.WriteByte('\n')
		plain.Write(r.request)
		plain.Write(answer)
		if r.Kind == kindAnswer || r.Kind == kindIntent || r.Kind == kindSleep {
			c.Entries++
		}
	}
	data, err := squeeze(plain.Bytes())
	if err != nil {
		return nil, err
	}
	c.Data = append([]byte{version}, data...)
	c.Bytes += len(c.Data)
	return c, nil
}

// unpack decodes a chunk. blob finds large answers.
func unpack(data []byte, blob func(sum string) ([]byte, error)) ([]*record, error) {
	if len(data) == 0 || data[0] != version {
		return nil, damaged(errors.New("its version is not known"))
	}
	in := bufio.NewReader(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), maxPlain))
	var all []*record
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return all, nil
		}
		if err != nil {
			return nil, damaged(err)
		}
		r := new(record)
		if err := json.Unmarshal(line, r); err != nil {
			return nil, damaged(err)
		}
		if err := r.take(in, blob); err != nil {
			return nil, damaged(err)
		}
		all = append(all, r)
	}
}

// take reads what follows the line of a record.
func (r *record) take(in io.Reader, blob func(string) ([]byte, error)) (err error) {
	if r.request, err = exactly(in, r.RequestBytes); err != nil {
		return err
	}
	if r.AnswerRef == "" {
		r.answer, err = exactly(in, r.AnswerBytes)
		return err
	}
	packed, err := blob(r.AnswerRef)
	if err != nil {
		return err
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxPlain))
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(plain); hex.EncodeToString(sum[:]) != r.AnswerRef {
		return errors.New("an answer is not what its hash says")
	}
	r.answer = plain
	return nil
}

// exactly reads n bytes, growing with what is there.
func exactly(in io.Reader, n int) ([]byte, error) {
	if n <= 0 {
		if n < 0 {
			return nil, errors.New("a length is negative")
		}
		return nil, nil
	}
	var b bytes.Buffer
	if got, err := io.CopyN(&b, in, int64(n)); err != nil {
		return nil, fmt.Errorf("%d of %d bytes: %w", got, n, err)
	}
	return b.Bytes(), nil
}

// squeezers are kept: a new one takes more than a megabyte.
var squeezers = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails for unknown levels only
	return w
}}

func squeeze(plain []byte) ([]byte, error) {
	var out bytes.Buffer
	w := squeezers.Get().(*flate.Writer)
	defer squeezers.Put(w)
	w.Reset(&out)
	_, err := w.Write(plain)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "journal.pack", "a record cannot be packed")
	}
	return out.Bytes(), nil
}

func damaged(err error) error {
	return fault.New(fault.Unavailable, "journal.read", "the record of this run is damaged; start the run again").With(err)
}
