package job

import (
	"context"
	"maps"
	"time"
)

// hold notes that a claimed job runs here. The context ends when work does, and when the claim is over or canceled.
func (w *Workers) hold(work context.Context, j *Job) context.Context {
	ctx, end := context.WithCancelCause(work)
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.holds[j.ID]; ok {
		old.end(errLost) // its lease ended, and we got the job again
	}
	w.holds[j.ID] = hold{j.Epoch, end}
	return ctx
}

// release forgets a job that ran here.
func (w *Workers) release(j *Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h, ok := w.holds[j.ID]; ok && h.epoch == j.Epoch {
		h.end(nil)
		delete(w.holds, j.ID)
	}
}

func (w *Workers) held() map[ID]hold {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.holds)
}

// heartbeat keeps the leases of what runs here until ctx ends, and stops what is no longer ours or what somebody canceled.
func (w *Workers) heartbeat(ctx context.Context) {
	tick := time.NewTicker(min(w.Poll, w.Lease/3))
	defer tick.Stop()
	extended := w.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		held := w.held()
		if len(held) == 0 {
			extended = w.Now()
			continue
		}
		if now := w.Now(); now.Sub(extended) >= w.Lease/3 {
			if err := w.Store.ExtendLeases(ctx, w.name, now.Add(w.Lease)); err == nil {
				extended = now
			}
		}
		w.check(ctx, held)
	}
}

// check compares what ran here a moment ago with what the store says.
func (w *Workers) check(ctx context.Context, held map[ID]hold) {
	claims, err := w.Store.Claims(ctx, w.name)
	if err != nil {
		return // the next beat looks again; an epoch guards what is written meanwhile
	}
	ours := make(map[ID]Claim, len(claims))
	for _, c := range claims {
		ours[c.ID] = c
	}
	for id, h := range held {
		switch c, ok := ours[id]; {
		case !ok || c.Epoch != h.epoch:
			h.end(errLost)
		case c.Canceling:
			h.end(errCanceled)
		}
	}
}
