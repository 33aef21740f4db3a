package javascript

import (
	"context"
	"errors"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
)

// Function is a function that the engine imports from the module Module.
type Function struct {
	Name    string
	Params  string // a letter each: i is i32, I is i64
	Results string
	Run     func(ctx context.Context, m api.Module, stack []uint64)
}

// Module is where the engine imports Functions from; all else it has of WASI preview 1.
const Module = "env"

// Functions are what the engine imports beside WASI. They are stateless, so that all instances share them.
func Functions() []Function {
	return []Function{
		{"host_call", "iiiii", "i", hostCall},
		{"host_promise_rejection", "iii", "", rejected},
		{"host_interrupt", "", "i", zero},             // never: the engine's fuel interrupts
		{"host_get_timezone_offset", "ii", "i", zero}, // UTC
		{"host_module_normalize", "ii", "i", zero},    // a program imports nothing
		{"host_module_load", "ii", "i", zero},
	}
}

func zero(_ context.Context, _ api.Module, stack []uint64) { stack[0] = 0 }

// door is a call of a host function that the program makes through the prelude.
type door struct {
	host Host
	in   *Instance
	argv uint32
	argc uint32
}

// doors are the functions that the prelude is given, in the order in which it takes them. Each answers a new value, 0 after
// it threw.
var doors = []struct {
	name string
	run  func(d *door) (uint32, error)
}{
	{"input", (*door).input},
	{"output", (*door).output},
	{"thrown", (*door).thrown},
	{"capability", (*door).capability},
	{"random", (*door).random},
	{"encode", (*door).encode},
	{"decode", (*door).decode},
	{"debug", func(d *door) (uint32, error) { return d.log(Debug) }},
	{"info", func(d *door) (uint32, error) { return d.log(Info) }},
	{"warn", func(d *door) (uint32, error) { return d.log(Warn) }},
	{"error", func(d *door) (uint32, error) { return d.log(Error) }},
}

const maxDoorName = 16

// enter is the instance that runs in ctx, for work inside of a host function. It panics, which ends the guest, when there is
// none or the engine is in a host function already, which only a corrupt one can be.
func enter(ctx context.Context) (Host, *Instance) {
	h, ok := ctx.(Host)
	if !ok {
		panic(errors.New("javascript: the context of the call is no Host"))
	}
	in := h.Instance()
	if in == nil || in.inside != 0 {
		panic(ErrCorrupt)
	}
	in.inside = 1
	return h, in
}

// hostCall is (name, length of it, this, argc, argv) -> value.
func hostCall(ctx context.Context, _ api.Module, stack []uint64) {
	h, in := enter(ctx)
	d := &door{host: h, in: in, argc: uint32(stack[3]), argv: uint32(stack[4])}
	v, err := d.open(uint32(stack[0]), uint32(stack[1]))
	var e *Exception
	if errors.As(err, &e) {
		v, err = 0, in.throw(ctx, e.Message)
	}
	if err != nil {
		panic(err)
	}
	in.inside = 0
	stack[0] = uint64(v)
}

func (d *door) open(name, n uint32) (uint32, error) {
	text, ok := d.in.view(name, min(n, maxDoorName))
	if !ok {
		return 0, ErrCorrupt
	}
	for i := range doors {
		if doors[i].name == string(text) {
			return doors[i].run(d)
		}
	}
	return 0, ErrCorrupt
}

// throw throws a string in the program.
func (in *Instance) throw(ctx context.Context, message string) error {
	v, err := in.newString(ctx, []byte(message))
	if err == nil {
		_, err = in.call(ctx, fnThrow, uint64(v))
	}
	return err
}

// arg is a value that the program passed.
func (d *door) arg(i uint32) (uint32, error) {
	if i >= d.argc {
		return 0, &Exception{Message: "too few arguments"}
	}
	v, ok := d.in.word(d.argv + i*wordBytes)
	if !ok {
		return 0, ErrCorrupt
	}
	return v, nil
}

// text is an argument that must be a string: of anything else the program could be run to make one. Free it after use.
func (d *door) text(i uint32) (text, error) {
	v, err := d.arg(i)
	if err != nil {
		return text{}, err
	}
	is, err := d.in.call(d.host, fnIsString, uint64(v))
	if err != nil {
		return text{}, err
	}
	if uint32(is) == 0 {
		return text{}, &Exception{Message: "an argument is not a string"}
	}
	return d.in.text(d.host, v)
}

// text is a string of the guest in UTF-8.
type text struct{ at, n uint32 }

// text reads a string value.
func (in *Instance) text(ctx context.Context, v uint32) (text, error) {
	length := in.root + rootScratch
	at, err := in.call(ctx, fnString, uint64(v), uint64(length))
	if err != nil {
		return text{}, err
	}
	if uint32(at) == 0 {
		return text{}, errNoMemory
	}
	n, ok := in.word(length)
	if _, inside := in.view(uint32(at), n); !ok || !inside {
		return text{}, ErrCorrupt
	}
	return text{uint32(at), n}, nil
}

// bytes are the guest's memory.
func (in *Instance) bytes(t text) []byte {
	b, _ := in.view(t.at, t.n)
	return b
}

func (in *Instance) free(ctx context.Context, t text) error {
	_, err := in.call(ctx, fnFreeString, uint64(t.at))
	return err
}

// undefined is what doors without a result answer.
func (d *door) undefined() (uint32, error) {
	v, err := d.in.call(d.host, fnUndefined)
	return uint32(v), err
}

func (d *door) input() (uint32, error) { return d.in.newString(d.host, d.host.Input()) }

func (d *door) output() (uint32, error) {
	t, err := d.text(0)
	if err != nil {
		return 0, err
	}
	if !d.in.settled {
		d.in.settled = true
		d.host.SetOutput(d.in.bytes(t))
	}
	if err := d.in.free(d.host, t); err != nil {
		return 0, err
	}
	return d.undefined()
}

const (
	maxMessage = 4 << 10
	maxStack   = 16 << 10
)

// thrown takes the message and the stack of what the program did not handle.
func (d *door) thrown() (uint32, error) {
	message, err := d.short(0, maxMessage)
	if err != nil {
		return 0, err
	}
	stack, err := d.short(1, maxStack)
	if err != nil {
		return 0, err
	}
	d.in.settled = true
	if d.in.thrown == nil {
		d.in.thrown = &Exception{message, stack}
	}
	return d.undefined()
}

// short is a copy of the first bytes of an argument, in UTF-8.
func (d *door) short(i uint32, most int) (string, error) {
	t, err := d.text(i)
	if err != nil {
		return "", err
	}
	b := d.in.bytes(t)
	s := strings.ToValidUTF8(string(b[:min(len(b), most)]), "\ufffd")
	return s, d.in.free(d.host, t)
}

// maxName bounds the name of a capability or function; those of the contract are shorter.
const maxName = 64

func (d *door) capability() (uint32, error) {
	if d.in.booting {
		return 0, &Exception{Message: "capabilities cannot be used while the plugin is loaded; use them in the functions that it exports"}
	}
	capability, err := d.short(0, maxName)
	if err != nil {
		return 0, err
	}
	name, err := d.short(1, maxName)
	if err != nil {
		return 0, err
	}
	request, err := d.text(2)
	if err != nil {
		return 0, err
	}
	answer := d.host.Capability(capability, name, d.in.bytes(request))
	if err := d.in.free(d.host, request); err != nil {
		return 0, err
	}
	return d.in.newString(d.host, answer)
}

// maxRandom is what crypto.getRandomValues gives at once (Web Cryptography API, 10.1.1).
const maxRandom = 65536

func (d *door) random() (uint32, error) {
	v, err := d.arg(0)
	if err != nil {
		return 0, err
	}
	is, err := d.in.call(d.host, fnIsNumber, uint64(v))
	if err != nil {
		return 0, err
	}
	bits, err := d.in.call(d.host, fnNumber, uint64(v))
	if err != nil {
		return 0, err
	}
	n := math.Float64frombits(bits)
	if uint32(is) == 0 || !(n >= 0 && n <= maxRandom) {
		return 0, &Exception{Message: "at most 65536 random bytes at once"}
	}
	b := make([]byte, int(n))
	d.host.Random(b)
	return d.in.made(d.host, fnNewBytes, b)
}

// encode answers the UTF-8 of a string as Uint8Array.
func (d *door) encode() (uint32, error) {
	t, err := d.text(0)
	if err != nil {
		return 0, err
	}
	v, err := d.in.call(d.host, fnNewBytes, uint64(t.at), uint64(t.n))
	if err != nil {
		return 0, err
	}
	return uint32(v), d.in.free(d.host, t)
}

// decode answers the text in a Uint8Array, undefined if that is not UTF-8.
func (d *door) decode() (uint32, error) {
	v, err := d.arg(0)
	if err != nil {
		return 0, err
	}
	at, n, err := d.in.array(d.host, v)
	if err != nil {
		return 0, err
	}
	if b, ok := d.in.view(at, n); !ok || !utf8.Valid(b) {
		return d.undefined()
	}
	s, err := d.in.call(d.host, fnNewString, uint64(at), uint64(n))
	return uint32(s), err
}

// array says where the bytes of a Uint8Array are.
func (in *Instance) array(ctx context.Context, v uint32) (at, n uint32, err error) {
	offset, length, width := in.root+rootScratch, in.root+rootScratch+wordBytes, in.root+rootScratch+2*wordBytes
	buffer, err := in.call(ctx, fnBufferOf, uint64(v), uint64(offset), uint64(length), uint64(width))
	if err != nil {
		return 0, 0, err
	}
	if bad, err := in.call(ctx, fnIsException, buffer); err != nil || uint32(bad) != 0 {
		_, _ = in.call(ctx, fnException) // it is replaced
		return 0, 0, errors.Join(err, &Exception{Message: "an argument is not a Uint8Array"})
	}
	data, err := in.call(ctx, fnBuffer, buffer, uint64(in.root+rootScratch+3*wordBytes))
	if err != nil {
		return 0, 0, err
	}
	if _, err := in.call(ctx, fnFreeValue, buffer); err != nil {
		return 0, 0, err
	}
	from, ok := in.word(offset)
	n, ok2 := in.word(length)
	if !ok || !ok2 {
		return 0, 0, ErrCorrupt
	}
	return uint32(data) + from, n, nil
}

func (d *door) log(level Level) (uint32, error) {
	t, err := d.text(0)
	if err != nil {
		return 0, err
	}
	d.host.Log(level, d.in.bytes(t))
	if err := d.in.free(d.host, t); err != nil {
		return 0, err
	}
	return d.undefined()
}
