package journal

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// File is a run that can be taken to another machine: JSON lines, packed with gzip. The first line says what the run is, each
// further one is a record.
//
// There is no secret in it, because none can be: the log has only what the guest was given and what it wrote, and a guest gets
// handles instead of secrets. The key by which this host knows its handles stays here.
type File struct {
	Run     FileRun
	Plugins []FilePlugin // that of the run first, then those that answered it
	Log     *Log
	// Module is the plugin itself, nil when it is not in the file.
	Module []byte
}

// FileRun is what a file tells of a run. It does not name the owner.
type FileRun struct {
	ID          string `json:"id"`
	Integration string `json:"integration,omitempty"`
	Event       string `json:"event"`
	State       string `json:"state"`
	Attempt     int    `json:"attempt,omitempty"`
	LastError   string `json:"last_error,omitempty"`
	Generation  int    `json:"generation,omitempty"`
}

// FilePlugin is a version that had a part in the run.
type FilePlugin struct {
	Name    string        `json:"name,omitempty"`
	Version string        `json:"version,omitempty"`
	Digest  plugin.Digest `json:"digest"`
	// Manifest as it was packed, with the limits; nil when the version is not kept any more.
	Manifest *abi.Manifest `json:"manifest,omitempty"`
}

// Bounds of a file, unpacked.
const (
	fileFormat   = "frigg-run"
	fileVersion  = 1
	maxFileBytes = 256 << 20
	maxFileLines = 200_000
)

// head is the first line of a file.
type head struct {
	Format  string       `json:"format"`
	Version int          `json:"version"`
	Run     FileRun      `json:"run"`
	Plugins []FilePlugin `json:"plugins"`
	Masked  []string     `json:"masked,omitempty"`
}

// line is each further one.
type line struct {
	record
	Request content `json:"request,omitempty"`
	Answer  content `json:"answer,omitempty"`
}

// kindModule is the plugin itself. Only files have it.
const kindModule kind = "module"

// content is bytes that people can read where they are text.
type content []byte

// MarshalJSON writes a string, or {"base64": "..."} for what is not UTF-8.
func (c content) MarshalJSON() ([]byte, error) {
	if utf8.Valid(c) {
		return json.Marshal(string(c))
	}
	return json.Marshal(map[string][]byte{"base64": c})
}

// UnmarshalJSON reads both.
func (c *content) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*c = content(text)
		return nil
	}
	var raw struct {
		Base64 []byte `json:"base64"`
	}
	err := json.Unmarshal(b, &raw)
	*c = raw.Base64
	return err
}

// Write writes the file. The same file is written alike everywhere.
func (f *File) Write(w io.Writer) error {
	packed := gzip.NewWriter(w)
	left := int64(maxFileBytes)
	out := json.NewEncoder(&bounded{packed, &left})
	out.SetEscapeHTML(false)
	err := out.Encode(head{fileFormat, fileVersion, f.Run, f.Plugins, f.Log.Last().Start.Masked})
	all := f.records()
	if f.Module != nil {
		all = append(all, &record{Kind: kindModule, Digest: plugin.DigestOf(f.Module), answer: f.Module})
	}
	for _, r := range all {
		if err == nil {
			err = out.Encode(line{*r, r.request, r.answer})
		}
	}
	if err = errors.Join(err, packed.Close()); left < 0 {
		return fault.New(fault.TooLarge, "journal.Write", "the record of this run has more than %d MiB, which no file can", maxFileBytes>>20)
	}
	return fault.Wrap(err, fault.Unavailable, "journal.Write", "the file cannot be written")
}

// bounded fails when more is written than is left.
type bounded struct {
	io.Writer
	left *int64
}

var errTooLarge = errors.New("too large")

func (b *bounded) Write(p []byte) (int, error) {
	if *b.left -= int64(len(p)); *b.left < 0 {
		return 0, errTooLarge
	}
	return b.Writer.Write(p)
}

// records are those that may leave this host.
func (f *File) records() []*record {
	all := f.Log.records()
	for _, r := range all {
		if r.Start != nil {
			start := *r.Start
			start.Handles = "" // which only this host can open, and no other needs
			r.Start = &start
		}
	}
	return all
}

// records is the shortest way to tell what is on record.
func (l *Log) records() []*record {
	var all []*record
	for _, t := range l.Tries {
		start := t.Start
		all = append(all, &record{Kind: kindBegin, Start: &start, request: t.Start.Input})
		for _, p := range slices.Sorted(maps.Keys(t.pins)) {
			all = append(all, &record{Kind: kindPin, Path: p, Digest: t.pins[p]})
		}
		for _, e := range t.Entries {
			all = append(all, e.records()...)
		}
		if t.End != nil {
			end := *t.End
			all = append(all, &record{Kind: kindEnd, End: &end, answer: t.End.Output})
		}
	}
	return all
}

func (e *Entry) records() []*record {
	r := &record{
		Kind: kindAnswer, Path: e.Path, Capability: e.Capability, Function: e.Function, Class: e.Class, Asked: e.Asked, At: e.At, Key: e.Key,
		Until: e.Until, Recalled: e.Recalled, request: e.Request, answer: e.Answer,
	}
	switch {
	case e.IsSleep():
		r.Kind = kindSleep
	case !e.Known():
		r.Kind = kindIntent
	}
	if e.Decision == nil {
		return []*record{r}
	}
	return []*record{r, {Kind: kindDecide, Path: e.Path, Decision: e.Decision}}
}

// Read reads a file that anybody may have written. Errors: Invalid when it is no such file, TooLarge, and Unsupported when a
// newer version of this program wrote it.
func Read(r io.Reader) (*File, error) {
	packed, err := gzip.NewReader(r)
	if err != nil {
		return nil, noFile(err)
	}
	packed.Multistream(false)
	plain := &io.LimitedReader{R: packed, N: maxFileBytes + 1}
	f, err := read(json.NewDecoder(plain))
	if plain.N <= 0 {
		return nil, fault.New(fault.TooLarge, "journal.Read", "the file has more than %d MiB, unpacked", maxFileBytes>>20)
	}
	return f, err
}

func read(in *json.Decoder) (*File, error) {
	var h head
	if err := in.Decode(&h); err != nil || h.Format != fileFormat {
		return nil, noFile(err)
	}
	if h.Version != fileVersion {
		return nil, fault.New(fault.Unsupported, "journal.Read", "the file was written by a newer version of frigg-host (format %d, this one reads %d)", h.Version, fileVersion)
	}
	f := &File{Run: h.Run, Plugins: h.Plugins, Log: &Log{}}
	for range maxFileLines {
		var l line
		err := in.Decode(&l)
		if errors.Is(err, io.EOF) {
			return f, f.whole()
		}
		if err == nil {
			l.request, l.answer = l.Request, l.Answer
			l.RequestBytes, l.AnswerBytes, l.AnswerRef = 0, 0, "" // of a chunk
			err = f.take(&l.record)
		}
		if err != nil {
			return nil, noFile(err)
		}
	}
	return nil, fault.New(fault.TooLarge, "journal.Read", "the file has more than %d lines", maxFileLines)
}

var pathForm = regexp.MustCompile(`^[1-9][0-9]{0,5}(\.[1-9][0-9]{0,5}){0,15}$`)

// take adds a line that is as we write them.
func (f *File) take(r *record) error {
	switch r.Kind {
	case kindModule:
		if f.Module != nil || plugin.DigestOf(r.answer) != r.Digest {
			return errors.New("a module that is not what its digest says")
		}
		f.Module = r.answer
		return nil
	case kindBegin:
		if r.Start == nil || !r.Start.Digest.Valid() || !slices.ContainsFunc(abi.Exports, func(e abi.Export) bool { return e.Name == r.Start.Export }) {
			return errors.New("a try without a plugin or export")
		}
	case kindEnd:
	case kindAnswer, kindIntent, kindSleep, kindPin, kindDecide:
		if !pathForm.MatchString(string(r.Path)) {
			return errors.New("a path that is none")
		}
	default:
		return errors.New("a record of no known kind")
	}
	if r.Kind == kindDecide && r.Decision == nil || r.Kind == kindSleep != (r.Capability == sleeping) {
		return errors.New("a record that lacks something")
	}
	if t := f.Log.Last(); t != nil && t.byPath[r.Path] != nil && r.Kind != kindDecide && r.Kind != kindBegin && r.Kind != kindPin {
		return errors.New("a host call that is there twice")
	}
	return f.Log.apply(r)
}

// whole checks a file at its end.
func (f *File) whole() error {
	if f.Log.Last() == nil {
		return noFile(errors.New("there is no try in it"))
	}
	return nil
}

func noFile(err error) error {
	return fault.New(fault.Invalid, "journal.Read", "this is no file of a run, or it is damaged; make one with `frigg-host run export`").With(err)
}
