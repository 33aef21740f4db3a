// Package journal keeps the record of a run: what its guest started from, what it asked of the host, and what it was
// answered. A run that was cut short is repeated from its record, exactly, and goes on where that ends; a run that failed can
// be looked at step by step, and taken to another machine.
//
// A guest is determined by its module, its input, its seed and the answers of the host (host/guest sees to that), so the same
// record gives the same run. What a host call does decides how it is recorded (abi.Class):
//
//   - pure and read: with the next record that has to be on disk. If it is lost nothing followed from it, and it is asked anew.
//   - local, an effect inside this host: in the same act as the effect. It happens exactly once.
//   - remote, an effect outside: an intent on disk before, the answer on disk after. A crash in between leaves an effect of
//     which nobody knows whether it happened. The room that sends finds out (plugin.HostCall), or a person decides.
//
// The package does not know what host calls mean, who owns the plugin, HTTP or SQL. A Recorder belongs to one goroutine;
// everything else is safe for concurrent use.
package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// Path says which host call of a run it is: "3" is the third of the guest, "3.1" the first of the guest that was called to
// answer that one.
type Path string

// child is the n-th host call below p.
func (p Path) child(n int) Path {
	if p == "" {
		return Path(strconv.Itoa(n))
	}
	return p + "." + Path(strconv.Itoa(n))
}

// below reports that p is a host call of the guest which answers parent.
func (p Path) below(parent Path) bool { return strings.HasPrefix(string(p), string(parent)+".") }

// Start is what a try of a run starts from. With it and the answers the try can be repeated.
type Start struct {
	At      time.Time     `json:"at"`
	ABI     int           `json:"abi"` // version of the contract
	Plugin  string        `json:"plugin"`
	Version string        `json:"version"`
	Digest  plugin.Digest `json:"digest"`
	Export  string        `json:"export"`
	// Input is what the export was given. Secrets in it are handles.
	Input json.RawMessage `json:"-"`
	Seed  [32]byte        `json:"seed"`
	// Handles is the key of the handles, sealed. It never leaves this host.
	Handles string `json:"handles,omitempty"`
	// Generation counts the checkpoints before.
	Generation int `json:"generation,omitempty"`
	// Replay counts how often a person had replayed the run.
	Replay int `json:"replay,omitempty"`
	// Masked names the fields whose values were replaced when the run was exported: repeated, a guest may behave otherwise.
	Masked []string `json:"masked,omitempty"`
}

// Entry is one host call of a try.
type Entry struct {
	Path       Path
	Capability string
	Function   string
	Class      abi.Class
	Request    []byte // as the guest wrote it
	Answer     []byte // as the guest got it, nil as long as it is not known
	Asked, At  time.Time
	Key        string    // idempotency key of an effect outside
	Until      time.Time // of a sleep
	Decision   *Decision // what a person said of an unknown outcome
	// Recalled says that an earlier try had this effect, and that it was not repeated.
	Recalled bool
}

// Sleeps are entries of this capability.
const sleeping = "sleep"

// IsSleep reports that the guest only waited.
func (e *Entry) IsSleep() bool { return e.Capability == sleeping }

// Known reports that the guest has its answer.
func (e *Entry) Known() bool { return !e.At.IsZero() }

// Unsure reports that it is an effect of which nobody knows whether it happened.
func (e *Entry) Unsure() bool { return !e.Known() && !e.IsSleep() && e.Class == abi.ClassRemote }

// Fault is the failure that the answer is; nil when it has a value or is not known.
func (e *Entry) Fault() *abi.Fault {
	var a struct {
		Fault *abi.Fault `json:"fault"`
	}
	if !e.Known() || json.Unmarshal(e.Answer, &a) != nil {
		return nil
	}
	return a.Fault
}

// Choice is what a person says of an effect of which nobody knows whether it happened.
type Choice string

// Choices.
const (
	Happened Choice = "happened" // with the answer that it had, or would have had
	Resend   Choice = "resend"   // it did not; do it
	GiveUp   Choice = "give_up"  // end the run
)

// Decision of a person.
type Decision struct {
	Choice Choice          `json:"choice"`
	Answer json.RawMessage `json:"answer,omitempty"` // the message of the contract, for Happened
	By     string          `json:"by"`
	At     time.Time       `json:"at"`
}

// Ending is how a try ended.
type Ending struct {
	At     time.Time     `json:"at"`
	Fault  *abi.Fault    `json:"fault,omitempty"` // nil for success
	Fuel   int64         `json:"fuel,omitempty"`
	Own    int64         `json:"own,omitempty"` // of the fuel, what the run's own guest took
	Memory uint64        `json:"memory,omitempty"`
	Took   time.Duration `json:"took,omitempty"`
	// Sum is the hex SHA-256 of what the guest answered, "" when it was stopped. Output is that itself unless it is large.
	Sum    string `json:"sum,omitempty"`
	Output []byte `json:"-"`
}

// sumOf is the hash of an output.
func sumOf(output []byte) string {
	if output == nil {
		return ""
	}
	sum := sha256.Sum256(output)
	return hex.EncodeToString(sum[:])
}

// Try is one attempt of a run from its start.
type Try struct {
	Start   Start
	Entries []*Entry // in the order in which they were asked
	End     *Ending  // nil when it was cut short, or waits
	pins    map[Path]plugin.Digest
	byPath  map[Path]*Entry
}

// Log is what is on record of a run since its last checkpoint.
type Log struct{ Tries []*Try }

// Last is the latest try, nil if there is none.
func (l *Log) Last() *Try {
	if l == nil || len(l.Tries) == 0 {
		return nil
	}
	return l.Tries[len(l.Tries)-1]
}

// Doubt is the entry for which the run needs a person, nil if there is none.
func (l *Log) Doubt() *Entry {
	t := l.Last()
	if t == nil {
		return nil
	}
	for _, e := range t.Entries {
		if e.Unsure() && e.Decision == nil {
			return e
		}
	}
	return nil
}

// depth is 1 for the host calls of the guest itself.
func (p Path) depth() int { return strings.Count(string(p), ".") + 1 }

// lastStep is the last number of a path.
func lastStep(p Path) int {
	n, _ := strconv.Atoi(string(p[strings.LastIndexByte(string(p), '.')+1:]))
	return n
}
