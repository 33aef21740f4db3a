package outbound

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

const (
	timeout   = 15 * time.Second
	maxAnswer = 64 << 10 // of an answer, which nobody reads

	defaultSlots = 4
)

// message is the body of a webhook, in the shape that Standard Webhooks recommends.
type message struct {
	Type      event.Name      `json:"type"`
	Timestamp time.Time       `json:"timestamp"` // of the fact
	Data      json.RawMessage `json:"data"`
	Owner     account.Owner   `json:"owner"`
	AppUserID string          `json:"app_user_id,omitempty"`
	AppOrgID  string          `json:"app_org_id,omitempty"`
}

func bodyOf(f *event.Fact, n Names) ([]byte, error) {
	b, err := json.Marshal(message{f.Name, f.At.UTC(), f.Data, f.Owner, n.AppUserID, n.AppOrgID})
	return b, fault.Wrap(err, fault.Internal, "outbound.body", "a fact cannot be written as JSON")
}

// Answer is what became of a try.
type Answer struct {
	Status int           // HTTP status, 0 without an answer
	Error  string        // for people, empty for 2xx
	Took   time.Duration // until the answer
	after  time.Duration // the endpoint asks to be left alone for so long
}

func (a Answer) ok() bool { return a.Status >= 200 && a.Status < 300 }

// Work makes one try of a delivery. It is the job.Handler of JobDeliver. The endpoint's schedule is in the delivery, so that a
// try that fails only puts the job aside.
func (s *Service) Work(ctx context.Context, j *job.Job) job.Outcome {
	var p payload
	if err := json.Unmarshal(j.Payload, &p); err != nil {
		return job.Outcome{Err: fault.Wrap(err, fault.Internal, "outbound.Work", "the job's payload cannot be read"), Halt: true}
	}
	d, e, names, err := s.Store.DeliveryToSend(ctx, j.Owner, p.Delivery)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && d.Progress != Waiting:
		return job.Outcome{} // removed or settled meanwhile
	case err != nil:
		return job.Outcome{Err: err}
	case e.State != Enabled:
		return with(job.Outcome{}, &Settled{Owner: e.Owner, Endpoint: e.ID, Delivery: d.ID, Progress: Held, Attempt: d.Attempt, Status: d.Status, Error: d.Error, Untried: true})
	}
	if !s.enter() {
		return job.Outcome{Defer: jitter(time.Second)}
	}
	defer s.leave()
	body, err := bodyOf(d.Fact, names)
	if err != nil {
		return job.Outcome{Err: err, Halt: true}
	}
	a, err := s.send(ctx, e, string(d.Fact.ID), body, requester.Policy{Key: "webhooks/" + string(e.ID)})
	if err != nil {
		return job.Outcome{Err: err}
	}
	return s.judge(d, e, a)
}

func with(o job.Outcome, s *Settled) job.Outcome {
	o.With = func(job.Settlement) any { return s }
	return o
}

// judge says what an answer means for the delivery and for its endpoint.
func (s *Service) judge(d *Delivery, e *Endpoint, a Answer) job.Outcome {
	now := s.now()
	out := &Settled{Owner: e.Owner, Endpoint: e.ID, Delivery: d.ID, Attempt: d.Attempt + 1, Status: a.Status, Error: a.Error, OK: a.ok()}
	rest, again := wait(out.Attempt)
	rest = max(rest, a.after)
	switch {
	case a.ok():
		out.Progress = Done
		return with(job.Outcome{}, out)
	case a.Status == http.StatusGone:
		out.Progress, out.Disable, out.Reason = Failed, Gone, "it answered 410 Gone: it wants nothing any more"
		return with(job.Outcome{}, out)
	case !e.FailingSince.IsZero() && now.Sub(e.FailingSince) >= patience:
		out.Progress, out.Disable = Held, Failing
		out.Reason = fmt.Sprintf("every try since %s failed; the last one: %s", e.FailingSince.Format(time.RFC3339), a.Error)
		return with(job.Outcome{}, out)
	}
	var o job.Outcome
	if p := max(pause(e.Failures+1), a.after); p > 0 {
		o.Pause = []job.Pause{{Until: now.Add(p)}} // of the lane: all that waits for this endpoint
	}
	if out.Progress = Failed; again {
		out.Progress, out.NextAt = Waiting, now.Add(rest)
		o.Defer, o.Err = rest, fault.New(fault.Unavailable, "outbound.Work", "%s", a.Error).On(fault.Remote)
	}
	return with(o, out)
}

// send makes one try. The error is ours; what the endpoint does wrong is in the Answer.
func (s *Service) send(ctx context.Context, e *Endpoint, id string, body []byte, p requester.Policy) (Answer, error) {
	secrets, err := s.secretsOf(ctx, e)
	if err != nil {
		return Answer{}, err
	}
	began := s.Now()
	header, err := signed(secrets, id, began, body)
	if err != nil {
		return Answer{}, err
	}
	target, err := requester.ParseTarget(e.URL)
	if err != nil {
		return Answer{}, err
	}
	p.Hosts = []requester.HostRule{{Scheme: target.Scheme, Host: target.Host, Port: target.Port}}
	res, err := s.Sender.Do(ctx, p, requester.Request{
		Method: http.MethodPost, URL: e.URL, Header: header, Body: body, Timeout: timeout, MaxResponseBytes: maxAnswer, NoRedirects: true,
	}, nil)
	if err != nil && (ctx.Err() != nil || fault.SideOf(err) == fault.Host && !fault.Is(err, fault.Forbidden)) {
		return Answer{}, err // it says nothing of the endpoint: we stop, or it is asked too often
	}
	return answerOf(res, err, began, s.Now()), nil
}

// answerOf reads what came. The status counts, whatever the rest of an answer is: an endpoint that says 200 and then sends
// without end has taken the message.
func answerOf(res *requester.Response, err error, began, now time.Time) Answer {
	a := Answer{Took: now.Sub(began)}
	var cut *requester.Failure
	switch {
	case err == nil:
		a.Status = res.Status
		if res.Status == http.StatusTooManyRequests || res.Status == http.StatusServiceUnavailable {
			a.after, _ = requester.RetryAfter(res, now)
		}
	case errors.As(err, &cut):
		a.Status = cut.Status
	}
	switch {
	case a.ok():
	case a.Status != 0:
		a.Error = "it answered " + strconv.Itoa(a.Status) + " " + http.StatusText(a.Status)
	default:
		a.Error = fault.PublicMessage(err)
	}
	return a
}

// secretsOf opens the live secrets of e, the newest first.
func (s *Service) secretsOf(ctx context.Context, e *Endpoint) ([]secret.Text, error) {
	key, err := s.Vault.Open(ctx, string(e.Owner), placeOf(e.ID, e.SecretNo), e.Secret)
	if err != nil {
		return nil, err
	}
	if e.OldSecret == "" || !s.Now().Before(e.OldUntil) {
		return []secret.Text{key}, nil
	}
	old, err := s.Vault.Open(ctx, string(e.Owner), placeOf(e.ID, e.SecretNo-1), e.OldSecret)
	return []secret.Text{key, old}, err
}

// placeOf is where a secret of an endpoint is sealed; its number keeps the new one and the old one apart.
func placeOf(id EndpointID, no int) secret.Place {
	return secret.Place{Table: "webhook_endpoints", Column: "secret", Row: string(id) + "/" + strconv.Itoa(no)}
}

// TestEndpoint sends an endpoint of o a message of the type endpoint.test, whatever its state, and says what became of it.
// Errors: NotFound; RateLimited when it is asked for too often.
func (s *Service) TestEndpoint(ctx context.Context, o account.Owner, id EndpointID) (Answer, error) {
	e, err := s.Endpoint(ctx, o, id)
	if err != nil {
		return Answer{}, err
	}
	f := event.New(o, event.EndpointTest, string(id), event.Endpoint{ID: string(id)}, s.now())
	body, err := bodyOf(f, Names{})
	if err != nil {
		return Answer{}, err
	}
	return s.send(ctx, e, string(f.ID), body, requester.Policy{Key: "webhooks-test/" + string(id), Rate: 0.2, Burst: 5})
}

// enter takes a place among the deliveries under way, unless all are taken.
func (s *Service) enter() bool {
	s.once.Do(func() { s.slots = make(chan struct{}, cmp.Or(s.Slots, defaultSlots)) })
	select {
	case s.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *Service) leave() { <-s.slots }
