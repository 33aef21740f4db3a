package snapshot

import "github.com/frigg-host/frigg-host/host/fault"

// Rejected is a method that does not work here, and why.
type Rejected struct {
	Method Method
	Err    error
}

// Probe tries the methods on real memory, best first, and returns the first that works with those that do not. It never
// fails, since Copy needs nothing from the system.
func Probe() (Method, []Rejected) {
	var rejected []Rejected
	for _, by := range []Method{PagemapScan, Pagemap} {
		err := try(func(m *Memory) error {
			_, err := m.Restore(by, func() bool { return m.Reallocate(m.size+pageSize) != nil })
			return err
		})
		if err == nil {
			return by, rejected
		}
		rejected = append(rejected, Rejected{by, err})
	}
	return Copy, rejected
}

// try has restore put one small memory back after each way of changing it.
func try(restore func(*Memory) error) error {
	const count = 8
	was := make([]byte, count*pageSize)
	for at := uint64(0); at < count*pageSize; at += 2 * pageSize { // the others are holes
		was[at] = 1
	}
	i, err := NewImage(was)
	if err != nil {
		return err
	}
	defer i.Close()
	m, err := NewMemory(2*i.size, i)
	if err != nil {
		return err
	}
	defer m.Free()
	m.Reallocate(0)
	for _, change := range []func(){
		func() {},
		func() { m.Bytes()[0]++ },
		func() { m.Bytes()[i.size-1]++ },
		func() { dirty(m.Bytes()) },
		func() { dirty(m.Reallocate(2 * i.size)) },
		func() { m.Keep = 0; dirty(m.Bytes()) },
	} {
		m.Watch()
		change()
		if err := restore(m); err != nil {
			return err
		}
		if !m.Same() {
			return fault.New(fault.Unsupported, "snapshot.Probe", "a memory was not put back")
		}
	}
	return nil
}

// dirty changes every page.
func dirty(memory []byte) {
	for at := 0; at < len(memory); at += int(pageSize) {
		memory[at] ^= 0xff
	}
}
