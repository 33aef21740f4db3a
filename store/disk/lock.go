package disk

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// memory is what the connections of a database share: the index of its log. No power cut and no death of the process
// leaves any of it.
type memory struct {
	regions []uintptr // of C
	users   map[*handle]bool
}

func lockFile(_ *libc.TLS, address uintptr, level int32) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	locks := h.file.locks
	if locks[h] >= level {
		return sqlite3.SQLITE_OK
	}
	others := int32(sqlite3.SQLITE_LOCK_NONE)
	for other, has := range locks {
		if other != h {
			others = max(others, has)
		}
	}
	switch {
	case level == sqlite3.SQLITE_LOCK_SHARED && others >= sqlite3.SQLITE_LOCK_PENDING,
		level > sqlite3.SQLITE_LOCK_SHARED && others >= sqlite3.SQLITE_LOCK_RESERVED:
		return sqlite3.SQLITE_BUSY
	case level == sqlite3.SQLITE_LOCK_EXCLUSIVE && others >= sqlite3.SQLITE_LOCK_SHARED:
		locks[h] = sqlite3.SQLITE_LOCK_PENDING // nobody else may begin to read
		return sqlite3.SQLITE_BUSY
	}
	locks[h] = level
	return sqlite3.SQLITE_OK
}

func unlockFile(_ *libc.TLS, address uintptr, level int32) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	h.file.locks[h] = min(h.file.locks[h], level)
	return sqlite3.SQLITE_OK
}

func isReserved(_ *libc.TLS, address, out uintptr) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	*to[int32](out) = 0
	for _, has := range h.file.locks {
		if has >= sqlite3.SQLITE_LOCK_RESERVED {
			*to[int32](out) = 1
		}
	}
	return sqlite3.SQLITE_OK
}

func mapMemory(tls *libc.TLS, address uintptr, region, size, extend int32, out uintptr) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.file.shm == nil {
		h.file.shm = &memory{users: map[*handle]bool{}}
	}
	m := h.file.shm
	m.users[h] = true
	*to[uintptr](out) = 0
	for int(region) >= len(m.regions) {
		if extend == 0 {
			return sqlite3.SQLITE_OK
		}
		r := libc.Xcalloc(tls, 1, libc.Tsize_t(size))
		if r == 0 {
			return sqlite3.SQLITE_NOMEM
		}
		m.regions = append(m.regions, r)
	}
	*to[uintptr](out) = m.regions[region]
	return sqlite3.SQLITE_OK
}

func lockMemory(_ *libc.TLS, address uintptr, from, n, flags int32) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	mask := uint16(1<<(from+n) - 1<<from)
	if flags&sqlite3.SQLITE_SHM_UNLOCK != 0 {
		h.shared, h.exclusive = h.shared&^mask, h.exclusive&^mask
		return sqlite3.SQLITE_OK
	}
	for other := range h.file.shm.users {
		if other == h {
			continue
		}
		if other.exclusive&mask != 0 || flags&sqlite3.SQLITE_SHM_EXCLUSIVE != 0 && other.shared&mask != 0 {
			return sqlite3.SQLITE_BUSY
		}
	}
	if flags&sqlite3.SQLITE_SHM_EXCLUSIVE != 0 {
		h.exclusive |= mask
	} else {
		h.shared |= mask
	}
	return sqlite3.SQLITE_OK
}

func barrier(_ *libc.TLS, address uintptr) {
	h := handleOf(address)
	h.disk.mu.Lock()
	//lint:ignore SA2001 what was written before is seen by whoever locks it next
	h.disk.mu.Unlock()
}

// unmapMemory frees the memory with its last user.
func unmapMemory(tls *libc.TLS, address uintptr, _ int32) int32 {
	h := handleOf(address)
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	m := h.file.shm
	if m == nil {
		return sqlite3.SQLITE_OK
	}
	delete(m.users, h)
	h.shared, h.exclusive = 0, 0
	if len(m.users) == 0 {
		for _, r := range m.regions {
			libc.Xfree(tls, r)
		}
		h.file.shm = nil
	}
	return sqlite3.SQLITE_OK
}
