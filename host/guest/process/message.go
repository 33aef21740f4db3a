package process

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/frigg-host/frigg-host/host/guest"
)

// version of the wire. Both sides are the same program, unless the file was replaced between two starts.
const version = 1

// setUp is what a child is told first.
type setUp struct {
	Version       int            `json:"version"`
	Engine        string         `json:"engine"`
	Imports       []guest.Import `json:"imports"`
	CacheDir      string         `json:"cache_dir"`
	MemoryCeiling uint64         `json:"memory_ceiling"`
	Interpreter   bool           `json:"interpreter,omitempty"`

	Isolation     guest.Isolation `json:"isolation"`
	IdleInstances int             `json:"idle_instances"`
	IdleBytes     uint64          `json:"idle_bytes"`
	IdleTime      time.Duration   `json:"idle_time"`

	// The sources that the child has to ask for.
	Entropy bool `json:"entropy"`
	Now     bool `json:"now"`
}

// ready is what a child says when it can be called, or why it cannot.
type ready struct {
	Exports     []string          `json:"exports"`
	Description guest.Description `json:"description"`
	Report      guest.Report      `json:"report"`
	Failure     *guest.Failure    `json:"failure,omitempty"`
	Shut        []string          `json:"shut"` // what it has closed behind itself
	Open        []string          `json:"open"` // what it could not close, and why
}

// call is a guest.Call, but for the input, which is the body, and the functions, which stay with the parent.
type call struct {
	Plugin string            `json:"plugin"`
	Export string            `json:"export"`
	Config map[string]string `json:"config,omitempty"`
	Limits guest.Limits      `json:"limits"`
	Seed   *[32]byte         `json:"seed,omitempty"`
	Left   time.Duration     `json:"left,omitempty"` // to the caller's own deadline; 0 when there is none
	Now    *time.Time        `json:"now,omitempty"`  // when the call has a clock; each answer then says what it shows
	Host   bool              `json:"host,omitempty"` // the call has them
	Sleep  bool              `json:"sleep,omitempty"`
	Log    bool              `json:"log,omitempty"`
}

// result is a guest.Result, but for the output, which is the body.
type result struct {
	Result  guest.Result   `json:"result"`
	Failure *guest.Failure `json:"failure,omitempty"`
}

// encode writes a message. All of them are plain data, which always marshals.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("process: %T: %v", v, err))
	}
	return b
}
