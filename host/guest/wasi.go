package guest

import (
	"encoding/binary"
	"math"
	"time"
)

// This file is our subset of WASI preview 1 (https://github.com/WebAssembly/WASI, snapshot_preview1). Every function of
// it exists, since guests of many tool chains import far more than they use. There are no files, no sockets, no
// arguments and no environment; clocks and randomness come from Config; a sleep ends with the deadline.

// Error numbers of WASI preview 1.
const (
	errnoSuccess = 0
	errnoBadf    = 8
	errnoFault   = 21
	errnoInval   = 28
	errnoIO      = 29
	errnoNosys   = 52
	errnoSpipe   = 70
)

// Standard descriptors.
const (
	fdStdin  = 0
	fdStderr = 2
)

// preview1 is wasi_snapshot_preview1. Functions with a result answer an error number.
var preview1 = []kernelFunction{
	{"args_get", "ii", "i", answer(success)},
	{"args_sizes_get", "ii", "i", answer(zeroSizes)},
	{"environ_get", "ii", "i", answer(success)},
	{"environ_sizes_get", "ii", "i", answer(zeroSizes)},
	{"clock_res_get", "ii", "i", answer(clockRes)},
	{"clock_time_get", "iIi", "i", answer(clockTime)},
	{"fd_advise", "iIIi", "i", answer(stdioOnly(errnoSpipe))},
	{"fd_allocate", "iII", "i", answer(stdioOnly(errnoBadf))},
	{"fd_close", "i", "i", answer(stdioOnly(errnoSuccess))},
	{"fd_datasync", "i", "i", answer(stdioOnly(errnoSuccess))},
	{"fd_fdstat_get", "ii", "i", answer(fdstat)},
	{"fd_fdstat_set_flags", "ii", "i", answer(stdioOnly(errnoSuccess))},
	{"fd_fdstat_set_rights", "iII", "i", answer(stdioOnly(errnoSuccess))},
	{"fd_filestat_get", "ii", "i", answer(filestat)},
	{"fd_filestat_set_size", "iI", "i", answer(stdioOnly(errnoInval))},
	{"fd_filestat_set_times", "iIIi", "i", answer(stdioOnly(errnoInval))},
	{"fd_pread", "iiiIi", "i", answer(stdioOnly(errnoSpipe))},
	{"fd_prestat_get", "ii", "i", answer(badf)},
	{"fd_prestat_dir_name", "iii", "i", answer(badf)},
	{"fd_pwrite", "iiiIi", "i", answer(stdioOnly(errnoSpipe))},
	{"fd_read", "iiii", "i", answer(fdRead)},
	{"fd_readdir", "iiiIi", "i", answer(badf)},
	{"fd_renumber", "ii", "i", answer(badf)},
	{"fd_seek", "iIii", "i", answer(stdioOnly(errnoSpipe))},
	{"fd_sync", "i", "i", answer(stdioOnly(errnoSuccess))},
	{"fd_tell", "ii", "i", answer(stdioOnly(errnoSpipe))},
	{"fd_write", "iiii", "i", answer(fdWrite)},
	{"path_create_directory", "iii", "i", answer(badf)},
	{"path_filestat_get", "iiiii", "i", answer(badf)},
	{"path_filestat_set_times", "iiiiIIi", "i", answer(badf)},
	{"path_link", "iiiiiii", "i", answer(badf)},
	{"path_open", "iiiiiIIii", "i", answer(badf)},
	{"path_readlink", "iiiiii", "i", answer(badf)},
	{"path_remove_directory", "iii", "i", answer(badf)},
	{"path_rename", "iiiiii", "i", answer(badf)},
	{"path_symlink", "iiiii", "i", answer(badf)},
	{"path_unlink_file", "iii", "i", answer(badf)},
	{"poll_oneoff", "iiii", "i", answer(poll)},
	{"proc_exit", "i", "", func(k *kernel, s []uint64) { k.end(exited(uint32(s[0]))) }},
	{"proc_raise", "i", "i", answer(nosys)},
	{"random_get", "ii", "i", answer(random)},
	{"sched_yield", "", "i", answer(yield)},
	{"sock_accept", "iii", "i", answer(badf)},
	{"sock_recv", "iiiiii", "i", answer(badf)},
	{"sock_send", "iiiii", "i", answer(badf)},
	{"sock_shutdown", "ii", "i", answer(badf)},
}

// wasiCall answers one call: parameters in, error number out.
type wasiCall func(k *kernel, p []uint64) uint64

func answer(f wasiCall) func(k *kernel, s []uint64) {
	return func(k *kernel, s []uint64) { s[0] = f(k, s) }
}

func success(*kernel, []uint64) uint64 { return errnoSuccess }
func badf(*kernel, []uint64) uint64    { return errnoBadf }
func nosys(*kernel, []uint64) uint64   { return errnoNosys }

// stdioOnly answers errno for the three standard descriptors; there are no others.
func stdioOnly(errno uint64) wasiCall {
	return func(_ *kernel, p []uint64) uint64 {
		if uint32(p[0]) > fdStderr {
			return errnoBadf
		}
		return errno
	}
}

// maxVectors bounds the lists that a function takes (IOV_MAX of Linux): work and memory of one call of a host function may
// not grow with the guest's memory.
const maxVectors = 1024

// put copies b to address p.
func (k *kernel) put(p uint64, b []byte) uint64 {
	to, ok := k.at(uint32(p), uint32(len(b)))
	if !ok {
		return errnoFault
	}
	copy(to, b)
	return errnoSuccess
}

func (k *kernel) putUint32(p uint64, v uint32) uint64 {
	return k.put(p, binary.LittleEndian.AppendUint32(nil, v))
}

func (k *kernel) putUint64(p, v uint64) uint64 {
	return k.put(p, binary.LittleEndian.AppendUint64(nil, v))
}

// zeroSizes says that there are no arguments and no environment.
func zeroSizes(k *kernel, p []uint64) uint64 {
	if errno := k.putUint32(p[0], 0); errno != errnoSuccess {
		return errno
	}
	return k.putUint32(p[1], 0)
}

// Clocks of WASI preview 1.
const (
	clockRealtime  = 0
	clockMonotonic = 1
)

// look reads a clock in nanoseconds.
func (k *kernel) look(id uint32) (uint64, bool) {
	switch id {
	case clockRealtime:
		return uint64(k.clock.lookWall()), true
	case clockMonotonic:
		return uint64(k.clock.lookMono()), true
	}
	return 0, false
}

func clockTime(k *kernel, p []uint64) uint64 {
	t, ok := k.look(uint32(p[0]))
	if !ok {
		return errnoInval
	}
	return k.putUint64(p[2], t)
}

func clockRes(k *kernel, p []uint64) uint64 {
	if uint32(p[0]) > clockMonotonic {
		return errnoInval
	}
	return k.putUint64(p[1], uint64(time.Microsecond))
}

const (
	randomStep = 1 << 20
	randomCost = 4 // of making a byte, against moving one
)

func random(k *kernel, p []uint64) uint64 {
	to, ok := k.at(uint32(p[0]), uint32(p[1]))
	if !ok {
		return errnoFault
	}
	for len(to) > 0 { // in steps, since all of memory takes seconds
		n := min(len(to), randomStep)
		if err := k.dice.read(to[:n]); err != nil {
			return errnoIO
		}
		to = to[n:]
		k.pay(randomCost * uint64(n))
		k.checkDeadline()
	}
	return errnoSuccess
}

func yield(k *kernel, _ []uint64) uint64 {
	k.share(time.Now())
	return errnoSuccess
}

// characterDevice is the file type of the standard descriptors. wasi-libc takes it for a terminal and writes line by
// line, so that what a guest printed before a trap is not lost in a buffer.
const characterDevice = 2

func fdstat(k *kernel, p []uint64) uint64 {
	if uint32(p[0]) > fdStderr {
		return errnoBadf
	}
	const rightRead, rightWrite, rightPoll = 1 << 1, 1 << 6, 1 << 27
	var stat [24]byte
	stat[0] = characterDevice
	binary.LittleEndian.PutUint64(stat[8:], rightRead|rightWrite|rightPoll)
	return k.put(p[1], stat[:])
}

func filestat(k *kernel, p []uint64) uint64 {
	if uint32(p[0]) > fdStderr {
		return errnoBadf
	}
	var stat [64]byte
	stat[16] = characterDevice
	return k.put(p[1], stat[:])
}

// fdRead: stdin is empty.
func fdRead(k *kernel, p []uint64) uint64 {
	if uint32(p[0]) != fdStdin {
		return errnoBadf
	}
	return k.putUint32(p[3], 0)
}

// fdWrite keeps the end of stdout and stderr for diagnosis.
func fdWrite(k *kernel, p []uint64) uint64 {
	if fd := uint32(p[0]); fd == fdStdin || fd > fdStderr {
		return errnoBadf
	}
	if uint32(p[2]) > maxVectors {
		return errnoInval
	}
	vectors, ok := k.at(uint32(p[1]), uint32(p[2])*8)
	if !ok {
		return errnoFault
	}
	var written uint32
	for ; len(vectors) > 0; vectors = vectors[8:] {
		b, ok := k.at(binary.LittleEndian.Uint32(vectors), binary.LittleEndian.Uint32(vectors[4:]))
		if !ok {
			return errnoFault
		}
		k.pay(uint64(len(b)))
		_, _ = k.console.Write(b)
		written += uint32(len(b))
	}
	return k.putUint32(p[3], written)
}

// Layout of poll_oneoff.
const (
	subscriptionBytes = 48
	eventBytes        = 32
	eventClock        = 0
	eventRead         = 1
	eventWrite        = 2
	absoluteTime      = 1
)

// poll waits for the first of its subscriptions. The standard descriptors are always ready; a clock is waited for, but
// no longer than the call's deadline.
func poll(k *kernel, p []uint64) uint64 {
	n := uint32(p[2])
	if n == 0 || n > maxVectors {
		return errnoInval
	}
	in, ok1 := k.at(uint32(p[0]), n*subscriptionBytes)
	out, ok2 := k.at(uint32(p[1]), n*eventBytes)
	if !ok1 || !ok2 {
		return errnoFault
	}
	wait, errno := k.firstDue(in)
	if errno != errnoSuccess {
		return errno
	}
	k.wait(func() { k.sleep(wait) }) // others may compute meanwhile
	k.clock.advance(int64(wait))
	return k.putUint32(p[3], k.writeEvents(out, in, wait))
}

// subscription is one entry of a poll.
type subscription []byte

func (s subscription) kind() byte { return s[8] }

// due is how long until a clock subscription fires, at least 0.
func (s subscription) due(k *kernel) (time.Duration, uint64) {
	timeout := binary.LittleEndian.Uint64(s[24:])
	if binary.LittleEndian.Uint16(s[40:])&absoluteTime != 0 {
		now, ok := k.look(binary.LittleEndian.Uint32(s[16:]))
		if !ok {
			return 0, errnoInval
		}
		timeout -= min(timeout, now)
	}
	return time.Duration(min(timeout, math.MaxInt64)), errnoSuccess
}

// firstDue is how long until the first subscription of in fires.
func (k *kernel) firstDue(in []byte) (time.Duration, uint64) {
	wait := time.Duration(math.MaxInt64)
	for ; len(in) > 0; in = in[subscriptionBytes:] {
		s := subscription(in)
		switch s.kind() {
		case eventClock:
			due, errno := s.due(k)
			if errno != errnoSuccess {
				return 0, errno
			}
			wait = min(wait, due)
		case eventRead, eventWrite:
			wait = 0
		default:
			return 0, errnoInval
		}
	}
	return wait, errnoSuccess
}

// writeEvents writes what fired when wait was over and returns how many.
func (k *kernel) writeEvents(out, in []byte, wait time.Duration) (fired uint32) {
	var events []byte // collected first: in and out may overlap
	for ; len(in) > 0; in = in[subscriptionBytes:] {
		s := subscription(in)
		var event [eventBytes]byte
		copy(event[:8], s)
		event[10] = s.kind()
		if s.kind() == eventClock {
			if due, _ := s.due(k); due > wait {
				continue
			}
		} else if binary.LittleEndian.Uint32(s[16:]) > fdStderr {
			event[8] = errnoBadf
		}
		events = append(events, event[:]...)
		fired++
	}
	copy(out, events)
	return fired
}
