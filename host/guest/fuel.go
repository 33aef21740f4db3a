package guest

import (
	"time"
)

// quantum is how many units of fuel a guest may spend before it comes back to Go: some tens of microseconds, during which
// neither the scheduler nor the garbage collector can interrupt it.
const quantum = 20_000

// refuel is called at the end of each quantum, on the goroutine of the call. It does not return when the call must end.
func (k *kernel) refuel() {
	k.count()
	if k.spent > k.limits.Fuel {
		k.stop(ReasonFuel, "limit of %d units of computing reached in %s", k.limits.Fuel, k.call.Export)
	}
	now := time.Now()
	if now.Sub(k.started) >= k.timeout {
		k.end(k.overdue())
	}
	k.pace.step(k, now)
	k.checkDeadline()
}

// count adds what was spent of the quantum, and begins a new one.
func (k *kernel) count() {
	if k.fuel == nil {
		return // the start section of a module that cannot be restored: its time counts, its fuel does not
	}
	k.spent += quantum - int64(int32(k.fuel.Get()))
	k.fuel.Set(quantum)
}

// overdue is why a call ends whose time is up, also when its context does not know yet.
func (k *kernel) overdue() *stop {
	k.pace.rest()
	<-k.Done() // its timer is due
	return contextStop(k, k.timeout, k.call.Export)
}
