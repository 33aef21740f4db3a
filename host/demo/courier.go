package demo

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	deliveryTimeout  = 5 * time.Second
	deliveriesAtOnce = 4 // sockets in use at one time, over all subscriptions
)

var defaultRetryDelays = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 5 * time.Minute,
}

// courier carries deliveries to their receivers, signed as Standard Webhooks. Each subscription with something to do has one
// lane, a goroutine that takes its deliveries one after the other, so their order holds; an idle subscription costs nothing.
type courier struct {
	crm    *CRM
	delays []time.Duration
	client *http.Client
	slots  chan struct{}

	mu     sync.Mutex
	lanes  map[subscriptionID]bool // true: woken again while running
	closed bool
	wg     sync.WaitGroup
}

func newCourier(c *CRM, delays []time.Duration) *courier {
	dialer := &net.Dialer{Timeout: deliveryTimeout, Control: refuseOtherMachines}
	return &courier{
		crm:    c,
		delays: delays,
		slots:  make(chan struct{}, deliveriesAtOnce),
		lanes:  map[subscriptionID]bool{},
		client: &http.Client{
			Timeout:       deliveryTimeout,
			Transport:     &http.Transport{DialContext: dialer.DialContext, MaxResponseHeaderBytes: 64 << 10},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func refuseOtherMachines(_, address string, _ syscall.RawConn) error {
	if host, _, err := net.SplitHostPort(address); err != nil || !isLoopback(host) {
		return fmt.Errorf("%s is not on this machine", address)
	}
	return nil
}

// wake starts the lane of a subscription, or has the running one look again before it ends.
func (c *courier) wake(id subscriptionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if _, running := c.lanes[id]; running {
		c.lanes[id] = true
		return
	}
	c.lanes[id] = false
	c.wg.Go(func() { c.run(id) })
}

func (c *courier) run(id subscriptionID) {
	for {
		for c.deliverNext(c.crm.done, id) {
		}
		if c.rest(id) {
			return
		}
	}
}

// rest ends a lane unless it was woken meanwhile.
func (c *courier) rest(id subscriptionID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lanes[id] && !c.closed {
		c.lanes[id] = false
		return false
	}
	delete(c.lanes, id)
	return true
}

// close waits for all lanes; the context they run under must have ended.
func (c *courier) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wg.Wait()
	c.client.CloseIdleConnections()
}

// deliverNext makes one attempt and waits if there must be another. It returns false when nothing is left to do.
func (c *courier) deliverNext(ctx context.Context, id subscriptionID) bool {
	var sub subscription
	var d delivery
	var ok bool
	c.crm.store.view(func(s *state) { sub, d, ok = s.nextDelivery(id) })
	if !ok {
		return false
	}
	status, err := c.post(ctx, sub, d)
	if ctx.Err() != nil {
		return false
	}
	return sleep(ctx, c.record(d.ID, status, err))
}

// record writes down how an attempt ended and returns how long to wait before the lane goes on.
func (c *courier) record(id deliveryID, status int, sendErr error) (wait time.Duration) {
	err := c.crm.change(User, func(a *act) error {
		i := slices.IndexFunc(a.Deliveries, func(d delivery) bool { return d.ID == id })
		if i < 0 || a.Deliveries[i].State != pending { // its subscription was deleted, or the queue grew too long
			return nil
		}
		wait = a.attempted(&a.Deliveries[i], status, sendErr, c.delays)
		a.trimDeliveries()
		return nil
	})
	if err != nil {
		c.crm.log.Error("webhook attempt not recorded", "delivery", id, "err", err)
		return time.Second
	}
	return wait
}

// attempted moves d on after an attempt. 2xx is success; 410 also switches the subscription off, as Standard Webhooks asks.
func (a *act) attempted(d *delivery, status int, err error, delays []time.Duration) (wait time.Duration) {
	d.Attempts++
	d.LastStatus, d.LastError = status, ""
	if err != nil {
		d.LastError = shorten(err.Error())
	}
	switch {
	case status >= 200 && status < 300:
		d.finish(delivered, a.now)
	case status == http.StatusGone:
		d.finish(failed, a.now)
		sub := a.Subscriptions[d.SubscriptionID]
		sub.Active, sub.UpdatedAt = false, a.tick()
		a.Subscriptions[sub.ID] = sub
	case d.Attempts > len(delays):
		d.finish(failed, a.now)
	default:
		wait = delays[d.Attempts-1]
		next := a.now.Add(wait)
		d.NextAttemptAt = &next
	}
	return wait
}

// shorten bounds what a receiver can make us keep.
func shorten(s string) string {
	const limit = 200
	return strings.ToValidUTF8(s[:min(len(s), limit)], "")
}

// post sends d once. The status is zero when there was no answer.
func (c *courier) post(ctx context.Context, sub subscription, d delivery) (status int, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.URL, strings.NewReader(d.Body))
	if err != nil {
		return 0, err
	}
	seconds := strconv.FormatInt(c.crm.now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Tidepool-Webhooks/1")
	req.Header.Set("webhook-id", string(d.ID))
	req.Header.Set("webhook-timestamp", seconds)
	req.Header.Set("webhook-signature", sign(sub.Secret, string(d.ID), seconds, d.Body))
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // lets the connection be used again
	return resp.StatusCode, nil
}

func withoutURL(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// sign makes the webhook-signature header: https://github.com/standard-webhooks/standard-webhooks, symmetric scheme v1.
func sign(secret, id, seconds, body string) string {
	key, _ := secretKey(secret) // checked when the subscription was made
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, seconds, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// wakeAll takes up what an earlier process left.
func (c *CRM) wakeAll() {
	var all []subscriptionID
	c.store.view(func(s *state) {
		for id := range s.Subscriptions {
			all = append(all, id)
		}
	})
	for _, id := range all {
		c.courier.wake(id)
	}
}

// sleep returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
