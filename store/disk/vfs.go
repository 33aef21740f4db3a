package disk

import (
	"sync"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Name is the VFS that databases on a Disk are opened with.
const Name = "frigg-disk"

// handle is an open file. SQLite keeps its number.
type handle struct {
	disk       *Disk
	file       *file
	shared     uint16 // locks on the memory that connections share, by bit
	exclusive  uint16
	removeLast bool // when it is closed
}

// opened is SQLite's part of a handle: sqlite3_file and what follows it.
type opened struct {
	methods uintptr
	number  uintptr
}

var handles = struct {
	sync.RWMutex
	byNumber map[uintptr]*handle
	last     uintptr
}{byNumber: map[uintptr]*handle{}}

// to makes a pointer of an address in memory of C, which the garbage collector does not know.
func to[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// code is the address of a function, as SQLite calls it. The function must not be a closure.
func code[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

func handleOf(address uintptr) *handle {
	number := to[opened](address).number
	handles.RLock()
	defer handles.RUnlock()
	return handles.byNumber[number]
}

var methods = sqlite3.Tsqlite3_io_methods{
	FiVersion:               2, // with shared memory, without mapped files
	FxClose:                 code(closeFile),
	FxRead:                  code(readFile),
	FxWrite:                 code(writeFile),
	FxTruncate:              code(truncateFile),
	FxSync:                  code(syncFile),
	FxFileSize:              code(sizeOfFile),
	FxLock:                  code(lockFile),
	FxUnlock:                code(unlockFile),
	FxCheckReservedLock:     code(isReserved),
	FxFileControl:           code(control),
	FxSectorSize:            code(sectorSize),
	FxDeviceCharacteristics: code(characteristics),
	FxShmMap:                code(mapMemory),
	FxShmLock:               code(lockMemory),
	FxShmBarrier:            code(barrier),
	FxShmUnmap:              code(unmapMemory),
}

// vfs is the system's own, with files from here.
var vfs sqlite3.Tsqlite3_vfs

var register = sync.OnceFunc(func() {
	tls := libc.NewTLS()
	name, err := libc.CString(Name)
	if err != nil {
		panic(err)
	}
	vfs = *to[sqlite3.Tsqlite3_vfs](sqlite3.Xsqlite3_vfs_find(tls, 0))
	vfs.FszOsFile, vfs.FpNext, vfs.FzName = int32(unsafe.Sizeof(opened{})), 0, name
	vfs.FxOpen, vfs.FxDelete, vfs.FxAccess, vfs.FxFullPathname = code(openFile), code(removeFile), code(access), code(fullPathname)
	vfs.FxSleep = code(sleep)
	if rc := sqlite3.Xsqlite3_vfs_register(tls, uintptr(unsafe.Pointer(&vfs)), 0); rc != sqlite3.SQLITE_OK {
		panic("disk: SQLite does not take the VFS")
	}
})

func openFile(_ *libc.TLS, _, name, out uintptr, flags int32, outFlags uintptr) int32 {
	o := to[opened](out)
	*o = opened{}
	h, rc := open(name, flags)
	if rc != sqlite3.SQLITE_OK {
		return rc
	}
	handles.Lock()
	handles.last++
	o.number = handles.last
	handles.byNumber[o.number] = h
	handles.Unlock()
	o.methods = uintptr(unsafe.Pointer(&methods))
	if outFlags != 0 {
		*to[int32](outFlags) = flags
	}
	return sqlite3.SQLITE_OK
}

func open(path uintptr, flags int32) (*handle, int32) {
	if path == 0 {
		return &handle{disk: &Disk{}, file: &file{locks: map[*handle]int32{}}}, sqlite3.SQLITE_OK
	}
	d, name := of(libc.GoString(path))
	if d == nil {
		return nil, sqlite3.SQLITE_CANTOPEN
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[name]
	if f == nil {
		f = &file{name: name, locks: map[*handle]int32{}}
		if flags&sqlite3.SQLITE_OPEN_CREATE == 0 || !d.change(f, change{kind: create}) {
			return nil, sqlite3.SQLITE_CANTOPEN
		}
		d.files[name] = f
	}
	return &handle{disk: d, file: f, removeLast: flags&sqlite3.SQLITE_OPEN_DELETEONCLOSE != 0}, sqlite3.SQLITE_OK
}

func closeFile(_ *libc.TLS, address uintptr) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	delete(h.file.locks, h)
	if h.removeLast {
		h.disk.remove(h.file.name, remove)
	}
	h.disk.mu.Unlock()
	handles.Lock()
	delete(handles.byNumber, to[opened](address).number)
	handles.Unlock()
	return sqlite3.SQLITE_OK
}

func readFile(_ *libc.TLS, address, buffer uintptr, n int32, at int64) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.disk.isOff() {
		return sqlite3.SQLITE_IOERR_READ
	}
	into := unsafe.Slice(to[byte](buffer), n)
	got := 0
	if at < int64(len(h.file.data)) {
		got = copy(into, h.file.data[at:])
	}
	clear(into[got:])
	if got < int(n) {
		return sqlite3.SQLITE_IOERR_SHORT_READ
	}
	return sqlite3.SQLITE_OK
}

// made makes a change of an open file; failed is the answer without power.
func made(address uintptr, c change, failed int32) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if !h.disk.change(h.file, c) {
		return failed
	}
	return sqlite3.SQLITE_OK
}

func writeFile(_ *libc.TLS, address, buffer uintptr, n int32, at int64) int32 {
	return made(address, change{kind: write, at: at, data: unsafe.Slice(to[byte](buffer), n)}, sqlite3.SQLITE_IOERR_WRITE)
}

func truncateFile(_ *libc.TLS, address uintptr, size int64) int32 {
	return made(address, change{kind: truncate, at: size}, sqlite3.SQLITE_IOERR_TRUNCATE)
}

func syncFile(_ *libc.TLS, address uintptr, _ int32) int32 {
	return made(address, change{kind: sync_}, sqlite3.SQLITE_IOERR_FSYNC)
}

func sizeOfFile(_ *libc.TLS, address, out uintptr) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	*to[int64](out) = int64(len(h.file.data))
	return sqlite3.SQLITE_OK
}

func removeFile(_ *libc.TLS, _, path uintptr, syncFolder int32) int32 {
	d, name := of(libc.GoString(path))
	if d == nil {
		return sqlite3.SQLITE_IOERR_DELETE
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return sqlite3.SQLITE_IOERR_DELETE_NOENT
	}
	how := remove
	if syncFolder != 0 {
		how = removeNow
	}
	if !d.remove(name, how) {
		return sqlite3.SQLITE_IOERR_DELETE
	}
	return sqlite3.SQLITE_OK
}

// remove takes a file out of sight; those who have it open keep it. d.mu is held.
func (d *Disk) remove(name string, how kind) bool {
	f := d.files[name]
	if f == nil || !d.change(f, change{kind: how}) {
		return false
	}
	delete(d.files, name)
	f.name = ""
	return true
}

// access answers as the system does, for which an empty file does not exist.
func access(_ *libc.TLS, _, path uintptr, _ int32, out uintptr) int32 {
	*to[int32](out) = 0
	d, name := of(libc.GoString(path))
	if d == nil {
		return sqlite3.SQLITE_OK
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.files[name]; f != nil && len(f.data) > 0 {
		*to[int32](out) = 1
	}
	return sqlite3.SQLITE_OK
}

func fullPathname(_ *libc.TLS, _, path uintptr, n int32, out uintptr) int32 {
	text := libc.GoString(path)
	if len(text) >= int(n) {
		return sqlite3.SQLITE_CANTOPEN
	}
	into := unsafe.Slice(to[byte](out), n)
	into[copy(into, text)] = 0
	return sqlite3.SQLITE_OK
}

// sleep sleeps on the clock of Go, which a test may have made its own.
func sleep(_ *libc.TLS, _ uintptr, micros int32) int32 {
	time.Sleep(time.Duration(micros) * time.Microsecond)
	return micros
}

func control(*libc.TLS, uintptr, int32, uintptr) int32 { return sqlite3.SQLITE_NOTFOUND }

func sectorSize(*libc.TLS, uintptr) int32 { return 4096 }

// characteristics are those that SQLite assumes of disks on Unix: a write harms no byte beside it.
func characteristics(*libc.TLS, uintptr) int32 { return sqlite3.SQLITE_IOCAP_POWERSAFE_OVERWRITE }
