package host

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/frigg-host/frigg-host/abi"
)

const (
	grace     = 20 * time.Second // for requests and jobs under way when the host stops
	purgeTime = time.Hour        // between two removals of what has expired
	// subscribeTime is between two looks for records that lack a subscription to a webhook.
	subscribeTime = 10 * time.Second

	// writeTime is from the end of a request's headers to the end of its answer: the longest call of a guest that an
	// operator can grant, and time around it to read, wait for memory and write.
	writeTime = abi.LimitMaxTimeoutMS*time.Millisecond + 2*time.Minute
)

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: writeTime,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
}

// Run serves listener, works jobs off, lets schedules tick and watches the plugins folder until ctx ends; then it takes no more work, lets what
// is under way finish, and returns nil. It is called once.
func (h *Host) Run(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := newServer(h.handler)
	var running sync.WaitGroup
	failed := make(chan error, 2)
	running.Go(func() { h.registry.Run(ctx) })
	running.Go(func() { h.purge(ctx) })
	running.Go(func() { h.subscribe(ctx) })
	running.Go(func() { h.Schedules.Run(ctx) })
	running.Go(func() { h.Outbound.Run(ctx) })
	running.Go(func() {
		if err := h.workers.Run(ctx, grace); err != nil {
			failed <- err
		}
	})
	running.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	if shut := server.Shutdown(stopping); shut != nil {
		err = errors.Join(err, server.Close())
	}
	running.Wait()
	return err
}

// subscribe keeps the subscriptions to webhooks alive.
func (h *Host) subscribe(ctx context.Context) {
	tick := time.NewTicker(subscribeTime)
	defer tick.Stop()
	for {
		if err := h.Integrations.KeepSubscribed(ctx); err != nil && ctx.Err() == nil {
			h.cfg.Log.Error("subscriptions to webhooks could not be looked after", "op", "host.subscribe", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// purge removes expired tokens, old events and processes, and modules that no plugin is made of any more from time to time.
func (h *Host) purge(ctx context.Context) {
	tick := time.NewTicker(purgeTime)
	defer tick.Stop()
	for {
		_, tokens := h.Accounts.PurgeExpired(ctx)
		_, events := h.Integrations.Prune(ctx)
		_, facts := h.Facts.Prune(ctx)
		_, processes := h.Syncs.Prune(ctx)
		_, modules := h.registry.Prune(ctx)
		if err := errors.Join(tokens, events, facts, processes, h.Outbound.Prune(ctx), modules); err != nil && ctx.Err() == nil {
			h.cfg.Log.Error("what has expired could not be removed", "op", "host.purge", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close frees everything, in the order in which it is needed. Calling it again returns the same result.
func (h *Host) Close() error {
	h.closing.Do(func() {
		for i := len(h.undo) - 1; i >= 0; i-- {
			h.closed = errors.Join(h.closed, h.undo[i]())
		}
	})
	return h.closed
}
