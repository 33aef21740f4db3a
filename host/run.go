package host

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	grace     = 20 * time.Second // for requests and jobs under way when the host stops
	purgeTime = time.Hour        // between two removals of what has expired
)

// Run serves listener, works jobs off and watches the plugins folder until ctx ends; then it takes no more work, lets what
// is under way finish, and returns nil. It is called once.
func (h *Host) Run(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{Handler: h.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	var running sync.WaitGroup
	failed := make(chan error, 2)
	running.Go(func() { h.registry.Run(ctx) })
	running.Go(func() { h.purge(ctx) })
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

// purge removes expired tokens and old events from time to time.
func (h *Host) purge(ctx context.Context) {
	tick := time.NewTicker(purgeTime)
	defer tick.Stop()
	for {
		_, tokens := h.Accounts.PurgeExpired(ctx)
		_, events := h.Integrations.Prune(ctx)
		if err := errors.Join(tokens, events); err != nil && ctx.Err() == nil {
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
