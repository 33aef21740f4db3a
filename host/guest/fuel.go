package guest

import "time"

// quantum is how many units of fuel a guest may spend before it comes back to Go: some tens of microseconds, during which
// neither the scheduler nor the garbage collector can interrupt it.
const quantum = 20_000

// lend gives the guest its first quantum. What it has spent before does not count: it was set up.
func (k *kernel) lend() {
	k.lent = min(quantum, k.limits.Fuel)
	k.fuel.Set(uint64(k.lent))
}

// refuel is called when the guest asks for rewrite.YieldPages pages, on the goroutine of the call. It reports whether that
// was because its fuel is used up; else the guest asks for memory. It does not return when the call must end.
func (k *kernel) refuel() bool {
	if k.fuel != nil { // else it is the start section of a module that cannot be restored: its time counts, its fuel does not
		left := int64(int32(k.fuel.Get()))
		if left >= 0 {
			return false
		}
		k.relend(left)
	}
	k.checkStack()
	k.breathe()
	return true
}

// maxStack bounds the call stack of a guest, which wazero would let grow to a hundred megabytes of the host's heap. A call of
// a function costs fuel, so there are not many frames more at the next look.
const maxStack = 8 << 20

func (k *kernel) checkStack() {
	if k.called != nil && k.called.stackBytes() > maxStack {
		k.end(&stop{reason: ReasonTrap, text: "trap: stack overflow", overflow: true})
	}
}

// breathe lets others run, and ends the call when its time is up.
func (k *kernel) breathe() {
	now := time.Now()
	if now.Sub(k.started) >= k.timeout {
		k.end(k.overdue())
	}
	k.share(now)
}

// share lets others go first if it is time for that, and ends the call when its own is up.
func (k *kernel) share(now time.Time) {
	if k.pace.due(now) {
		k.memory.Pause()
		k.pace.step(k, now)
		k.memory.Resume()
	}
	k.checkDeadline()
}

// wait does something for which the guest waits: it needs neither a core nor a thread then.
func (k *kernel) wait(do func()) {
	k.memory.Pause()
	k.pace.rest()
	do()
	k.memory.Resume()
}

// Bytes that a host function moves for a unit, as for bulk instructions, and how few of them are free.
const (
	bytesPerUnit = 64
	freeBytes    = 1 << 10
)

// pay takes fuel for bytes that a host function is about to move. They are there: the bounds were checked.
func (k *kernel) pay(bytes uint64) {
	if k.fuel == nil || bytes < freeBytes {
		return
	}
	left := int64(int32(k.fuel.Get())) - int64(bytes/bytesPerUnit)
	if left >= 0 {
		k.fuel.Set(uint64(left))
		return
	}
	left += k.more((quantum - 1 - left) / quantum * quantum)
	k.fuel.Set(uint64(uint32(left)))
	if left < 0 {
		k.spentAll()
	}
	k.breathe()
}

// relend lends another quantum, or what the limit leaves of one. The guest adds a whole one itself when this returns.
func (k *kernel) relend(left int64) {
	if more := k.more(quantum); more < quantum {
		k.fuel.Set(uint64(uint32(left + more - quantum)))
	}
}

// more lends so many units, or what the limit leaves of them.
func (k *kernel) more(units int64) int64 {
	more := min(units, k.limits.Fuel-k.lent)
	if more <= 0 {
		k.spentAll()
	}
	k.lent += more
	return more
}

// spentAll ends the call that has used up its limit.
func (k *kernel) spentAll() {
	k.stop(ReasonFuel, "limit of %d units of computing reached in %s", k.limits.Fuel, k.call.Export)
}

// count notes what was spent.
func (k *kernel) count() { k.spent = k.lent - int64(int32(k.fuel.Get())) }

// overdue is why a call ends whose time is up, also when its context does not know yet.
func (k *kernel) overdue() *stop {
	k.wait(func() { <-k.Done() }) // its timer is due
	return contextStop(k, k.timeout, k.call.Export)
}
