//go:build !wasip1

package friggtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Integration is a host in which the integration under test works for one record.
type Integration struct {
	Host
	// Record is what the integration is told of itself.
	Record abi.Integration
	// Messages are those that it left for people.
	Messages []abi.Message
	// Mappings holds the JSON of mapping entries, by set and id.
	Mappings map[string]map[string]string
	// Queue are the events that wait to be worked off; see Work.
	Queue []Job
	// Schedules are those that it made, by name; see Tick.
	Schedules map[string]abi.SchedulePut
	// Notified is what the integration told, as notify.NAME.
	Notified []abi.Notify
	// Syncs are the names of those that it started, oldest first.
	Syncs []string
	// Processes are those that it made.
	Processes []abi.Process
	// Vendors answer requests on a role's connection.
	Vendors map[string]http.Handler

	methods   map[string]func(json.RawMessage) (any, error)
	last      abi.EventInput
	delivered int
	enqueued  int  // by the call under way
	told      int  // likewise
	unbound   bool // the call under way has no record
	keys      map[string]bool
}

// Job is an event that the integration enqueued.
type Job struct {
	Event string
	Data  json.RawMessage
	Delay time.Duration
	Key   string
}

// NewIntegration makes a host for an enabled record with this configuration. In examples t may be nil.
func NewIntegration(t testing.TB, config any) *Integration {
	f := &Integration{
		Host: newHost(t), Mappings: map[string]map[string]string{}, Vendors: map[string]http.Handler{},
		Schedules: map[string]abi.SchedulePut{}, methods: map[string]func(json.RawMessage) (any, error){}, keys: map[string]bool{},
	}
	f.Record = abi.Integration{ID: "int_test", Status: abi.StatusEnabled, Version: "1.0.0", Entities: []abi.Entity{}}
	f.serve = f.serveIntegration
	f.Configure(config)
	return f
}

// Configure replaces the configuration.
func (f *Integration) Configure(config any) {
	f.t.Helper()
	b, err := json.Marshal(config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Record.Config = b
}

// OnModule answers calls of a method of the module behind a role.
func OnModule[In, Out any](f *Integration, role string, method frigg.Method[In, Out], answer func(In) (Out, error)) {
	f.methods[role+"."+string(method)] = func(args json.RawMessage) (any, error) {
		var in In
		if err := wire.Decode(args, &in, "the arguments of "+string(method)); err != nil {
			return nil, err
		}
		return answer(in)
	}
}

// Deliver hands an event to the integration, as a new delivery.
func (f *Integration) Deliver(event string, data any) error {
	f.t.Helper()
	b, err := optionalJSON(data)
	if err != nil {
		return err
	}
	f.delivered++
	f.last = abi.EventInput{Event: event, Data: b, Delivery: abi.Delivery{ID: fmt.Sprintf("job_%d", f.delivered)}}
	return f.Retry()
}

// Retry hands the last event out once more, as the host does after a failure or a crash.
func (f *Integration) Retry() error {
	f.t.Helper()
	f.last.Delivery.Attempt++
	f.last.Integration = f.Record
	f.enqueued, f.told = 0, 0
	_, err := run[abi.EventOutput](&f.Host, abi.ExportHandleEvent, f.last)
	return err
}

// Webhook hands out a webhook that was verified; body is a string as it came, or a value for JSON.
func (f *Integration) Webhook(name, event, id string, body any) error {
	f.t.Helper()
	text, isText := body.(string)
	if !isText {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = string(b)
	}
	return f.Deliver(abi.EventOnWebhook, abi.WebhookEvent{Webhook: name, Event: event, ID: id, Text: text, ReceivedAtMS: time.Now().UnixMilli()})
}

// Work works the queue off until it is empty or an event fails, and returns how many events were done. Delays do not count.
func (f *Integration) Work() (int, error) {
	f.t.Helper()
	for done := 0; ; done++ {
		if len(f.Queue) == 0 {
			return done, nil
		}
		job := f.Queue[0]
		f.Queue = f.Queue[1:]
		if err := f.Deliver(job.Event, job.Data); err != nil {
			return done, err
		}
	}
}

// Act starts an action, as a person does.
func Act[Out any](f *Integration, action string, input any) (Out, error) {
	f.t.Helper()
	var out Out
	b, err := optionalJSON(input)
	if err != nil {
		return out, err
	}
	f.enqueued, f.told = 0, 0
	f.delivered++ // an action is not repeated: whatever it enqueues is new
	f.last = abi.EventInput{Delivery: abi.Delivery{ID: fmt.Sprintf("action_%d", f.delivered)}}
	a, err := run[abi.ActionOutput](&f.Host, abi.ExportRunAction, abi.ActionInput{Action: action, Input: b, Integration: f.Record})
	if err != nil {
		return out, err
	}
	return out, wire.Decode(a.Value, &out, "the result of "+action)
}

// ConfigForm asks for the configuration form; typed is nil at first.
func (f *Integration) ConfigForm(typed any) (abi.Form, error) {
	return f.form(abi.ExportConfigForm, "", typed)
}

// ActionForm asks for the form of an action; typed is nil at first.
func (f *Integration) ActionForm(action string, typed any) (abi.Form, error) {
	return f.form(abi.ExportActionForm, action, typed)
}

func (f *Integration) form(export, action string, typed any) (abi.Form, error) {
	f.t.Helper()
	input, err := optionalJSON(typed)
	if err != nil {
		return abi.Form{}, err
	}
	return run[abi.Form](&f.Host, export, abi.FormInput{Integration: f.Record, Action: action, Input: input})
}

// Validate asks what is wrong with the configuration.
func (f *Integration) Validate() (abi.ValidateConfigOutput, error) {
	f.t.Helper()
	return run[abi.ValidateConfigOutput](&f.Host, abi.ExportValidateConfig, abi.ValidateConfigInput{Integration: f.Record})
}

// Receive hands a webhook out for verification, before it is stored.
func (f *Integration) Receive(w abi.WebhookEvent) (abi.WebhookOutput, error) {
	f.t.Helper()
	return run[abi.WebhookOutput](&f.Host, abi.ExportReceiveWebhook, abi.WebhookInput{Webhook: w, Secret: secretOf(w.Webhook), Integration: f.Record})
}

// Route sends a request on a route, which is named as the program registers it: by its event, or by method and path. Method and
// Path of q follow from that where they are empty. On a route with :integrationId, or with an Integration in q, the integration
// works for the Record; on others every host function is refused, as the host does.
func (f *Integration) Route(name string, q abi.RouteInput) (abi.HTTPReply, error) {
	f.t.Helper()
	q.Event = name
	if method, path, ok := strings.Cut(name, " "); ok {
		q.Method = cmp.Or(q.Method, method)
		q.Path = cmp.Or(q.Path, filled(path, q.Params))
	}
	if q.Integration != nil || slices.Contains(strings.Split(name, "/"), ":"+abi.RouteIntegrationID) {
		q.Integration = &f.Record
	}
	f.unbound = q.Integration == nil
	defer func() { f.unbound = false }()
	f.enqueued, f.told = 0, 0
	f.delivered++ // a request is not repeated: whatever it enqueues is new
	f.last = abi.EventInput{Delivery: abi.Delivery{ID: fmt.Sprintf("route_%d", f.delivered)}}
	return run[abi.HTTPReply](&f.Host, abi.ExportHandleRoute, q)
}

// filled puts parameters into a path.
func filled(path string, params map[string]string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if name, isParam := strings.CutPrefix(s, ":"); isParam {
			segments[i] = url.PathEscape(params[name])
		}
	}
	return strings.Join(segments, "/")
}

// Mapped returns the value of a mapping entry as a T, and whether there is one.
func Mapped[T any](f *Integration, set, id string) (T, bool) {
	f.t.Helper()
	var value T
	text, ok := f.Mappings[set][id]
	if ok {
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			f.t.Fatalf("mapping %s of %s: %v", set, id, err)
		}
	}
	return value, ok
}

func (f *Integration) serveIntegration(capability, function string, request []byte) ([]byte, bool) {
	if f.unbound {
		return refuse(frigg.Errorf(frigg.KindForbidden, "capability %s is not granted for this call", capability)), true
	}
	switch capability + "." + function {
	case "http.send":
		return serve(request, func(q abi.HTTPRequest) (abi.HTTPResponse, error) { return ask(f.Vendors[q.Role], q) }), true
	case "module.call":
		return serve(request, f.callModule), true
	case "mapping.get":
		return serve(request, f.mapping), true
	case "mapping.put":
		return serve(request, f.putMapping), true
	case "mapping.delete":
		return serve(request, f.deleteMapping), true
	case "mapping.list":
		return serve(request, f.listMapping), true
	case "queue.enqueue":
		return serve(request, f.enqueue), true
	case "queue.enqueue_batch":
		return serve(request, f.enqueueBatch), true
	case "process.create":
		return serve(request, f.createProcess), true
	case "process.get":
		return serve(request, f.getProcess), true
	case "process.update":
		return serve(request, f.updateProcess), true
	case "process.add":
		return serve(request, f.addToProcess), true
	case "sync.start":
		return serve(request, f.startSync), true
	case "schedule.put":
		return serve(request, f.putSchedule), true
	case "schedule.delete":
		return serve(request, f.deleteSchedule), true
	case "schedule.list":
		return serve(request, f.listSchedules), true
	case "notify.send":
		return serve(request, f.notify), true
	case "integration.update":
		return serve(request, f.update), true
	case "webhook.endpoint":
		return serve(request, func(q abi.WebhookEndpoint) (abi.WebhookAddress, error) {
			return abi.WebhookAddress{URL: "https://frigg.test/hooks/" + f.Record.ID + "/" + q.Webhook, Secret: secretOf(q.Webhook)}, nil
		}), true
	}
	return nil, false
}

// secretOf is the handle of a webhook's secret.
func secretOf(webhook string) string { return "handle-of-" + webhook }

func (f *Integration) callModule(q abi.ModuleCall) (abi.ModuleValue, error) {
	answer, ok := f.methods[q.Role+"."+q.Method]
	if !ok {
		return abi.ModuleValue{}, frigg.Unsupported("friggtest: nobody answers %s of %s", q.Method, q.Role)
	}
	out, err := answer(q.Args)
	if err != nil {
		return abi.ModuleValue{}, err
	}
	value, err := json.Marshal(out)
	return abi.ModuleValue{Value: value}, err
}

func (f *Integration) mapping(q abi.MappingGet) (abi.MappingValue, error) {
	v, ok := f.Mappings[q.Set][q.SourceID]
	return abi.MappingValue{Found: ok, Value: json.RawMessage(v)}, nil
}

func (f *Integration) putMapping(q abi.MappingPut) (abi.MappingPutResult, error) {
	if len(q.Entries) == 0 || len(q.Entries) > 1000 {
		return abi.MappingPutResult{}, frigg.Invalid("a put has 1 to 1000 entries, not %d", len(q.Entries))
	}
	for _, e := range q.Entries {
		if _, exists := f.Mappings[e.Set][e.SourceID]; exists && q.IfAbsent {
			return abi.MappingPutResult{}, nil
		}
	}
	for _, e := range q.Entries {
		if f.Mappings[e.Set] == nil {
			f.Mappings[e.Set] = map[string]string{}
		}
		f.Mappings[e.Set][e.SourceID] = string(e.Value)
	}
	return abi.MappingPutResult{Stored: true}, nil
}

func (f *Integration) deleteMapping(q abi.MappingDelete) (abi.Empty, error) {
	delete(f.Mappings[q.Set], q.SourceID)
	return abi.Empty{}, nil
}

func (f *Integration) listMapping(q abi.MappingList) (abi.MappingEntries, error) {
	rows := []abi.MappingEntry{}
	for id, v := range f.Mappings[q.Set] {
		if id > q.After {
			rows = append(rows, abi.MappingEntry{Set: q.Set, SourceID: id, Value: json.RawMessage(v)})
		}
	}
	slices.SortFunc(rows, func(a, b abi.MappingEntry) int { return cmp.Compare(a.SourceID, b.SourceID) })
	rows, more := firstOf(rows, q.Limit)
	return abi.MappingEntries{Entries: rows, More: more}, nil
}

func (f *Integration) enqueue(q abi.QueueEnqueue) (abi.QueueJob, error) {
	key := q.UniqueKey
	if key == "" {
		f.enqueued++
		key = fmt.Sprintf("%s#%d", f.last.Delivery.ID, f.enqueued)
	}
	waits := slices.ContainsFunc(f.Queue, func(j Job) bool { return j.Key == key })
	if waits || q.UniqueKey == "" && f.keys[key] {
		return abi.QueueJob{ID: key, Existed: true}, nil
	}
	f.keys[key] = true
	f.Queue = append(f.Queue, Job{q.Event, q.Data, time.Duration(q.DelayMS) * time.Millisecond, key})
	return abi.QueueJob{ID: key}, nil
}

func (f *Integration) enqueueBatch(q abi.QueueEnqueueBatch) (abi.QueueJobs, error) {
	jobs := abi.QueueJobs{}
	for _, e := range q.Events {
		j, err := f.enqueue(e)
		if err != nil {
			return jobs, err
		}
		jobs.Jobs = append(jobs.Jobs, j)
	}
	return jobs, nil
}

// notify keeps what is new: a handler that runs again tells nothing twice.
func (f *Integration) notify(q abi.Notify) (abi.Empty, error) {
	f.told++
	key := fmt.Sprintf("%s told %d", f.last.Delivery.ID, f.told)
	if !f.keys[key] {
		f.keys[key] = true
		f.Notified = append(f.Notified, q)
	}
	return abi.Empty{}, nil
}

func (f *Integration) update(u abi.IntegrationUpdate) (abi.Integration, error) {
	switch u.Status {
	case "":
	case abi.StatusEnabled, abi.StatusNeedsConfig, abi.StatusProcessing, abi.StatusError:
		f.Record.Status = u.Status
	default:
		return f.Record, frigg.Errorf(frigg.KindForbidden, "an integration may not set the status %s", u.Status)
	}
	if u.Config != nil {
		config, err := merge(f.Record.Config, u.Config)
		if err != nil {
			return f.Record, err
		}
		f.Record.Config = config
	}
	f.Messages = append(f.Messages, u.Messages...)
	return f.Record, nil
}

// merge applies a JSON merge patch (RFC 7396).
func merge(target, patch json.RawMessage) (json.RawMessage, error) {
	var t, p any
	if err := json.Unmarshal(target, &t); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, err
	}
	return json.Marshal(mergeValue(t, p))
}

func mergeValue(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	merged, ok := target.(map[string]any)
	if !ok {
		merged = map[string]any{}
	}
	for name, v := range changes {
		if v == nil {
			delete(merged, name)
			continue
		}
		merged[name] = mergeValue(merged[name], v)
	}
	return merged
}
