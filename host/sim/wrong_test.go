package sim_test

import (
	"context"
	"time"

	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
	"github.com/frigg-host/frigg-host/store"
)

// wrong is a way in which a host is wrong on purpose.
type wrong int

const (
	right wrong = iota
	acknowledgesFirst
	resendsBlindly
	ignoresEpochs
)

// rooms are what the rooms keep.
type rooms interface {
	integration.Store
	job.Store
	journal.Store
}

// store is the database of a life as a right or wrong host uses it.
func (how wrong) store(l *life) rooms {
	db := steady{l.db, l}
	switch how {
	case acknowledgesFirst:
		return hasty{db}
	case ignoresEpochs:
		return epochless{db}
	}
	return db
}

// steady takes chance out, so that seeds reproduce: the next try comes at the end of its back-off.
type steady struct {
	*store.DB
	l *life
}

func (s steady) SettleJob(ctx context.Context, id job.ID, epoch int64, now time.Time, x job.Settlement) error {
	if x.State == job.Queued && !x.Free {
		wait := 2 * time.Second
		for wait < x.RunAt.Sub(now) {
			wait *= 2
		}
		x.RunAt = now.Add(wait)
	}
	return s.DB.SettleJob(ctx, id, epoch, now, x)
}

// hasty acknowledges before the commit, which follows soon.
type hasty struct{ steady }

func (s hasty) ReceiveEvent(_ context.Context, e *integration.Event, then job.New, most int) (bool, error) {
	s.l.later.Go(func() {
		time.Sleep(time.Second)
		_, _ = s.DB.ReceiveEvent(context.Background(), e, then, most)
		s.l.workers.Wake()
	})
	return false, nil
}

// epochless lets a worker that lost its claim go on as if it had it.
type epochless struct{ steady }

func (s epochless) epoch(ctx context.Context, id job.ID) (e int64) {
	_ = s.DB.Read(ctx, func(q store.Querier) (err error) {
		e, err = store.One(q, store.Value[int64], `SELECT epoch FROM jobs WHERE id = $1`, id)
		return err
	})
	return e
}

// Claims says that a worker still holds what it ever held, if it runs at all.
func (s epochless) Claims(ctx context.Context, worker string) (all []job.Claim, err error) {
	claims, err := s.DB.Claims(ctx, worker)
	for _, c := range claims {
		for ; c.Epoch > 0; c.Epoch-- {
			all = append(all, c)
		}
	}
	return all, err
}

func (s epochless) SettleJob(ctx context.Context, id job.ID, _ int64, now time.Time, x job.Settlement) error {
	return s.steady.SettleJob(ctx, id, s.epoch(ctx, id), now, x)
}

func (s epochless) AppendJournal(ctx context.Context, r *journal.Run, _ int64, c *journal.Chunk, restart bool) error {
	return s.DB.AppendJournal(ctx, r, s.epoch(ctx, r.ID), c, restart)
}
