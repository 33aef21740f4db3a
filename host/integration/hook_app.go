package integration

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/frigg-host/frigg-host/host/webhook"
)

// AppEventState says where an event of an application went.
type AppEventState string

const (
	Routing   AppEventState = "routing"   // on its way; a redelivery goes on where it stopped
	Routed    AppEventState = "routed"    // to every record that uses its account
	Unrouted  AppEventState = "unrouted"  // no record uses its account
	Ambiguous AppEventState = "ambiguous" // its account names several connections, and the manifest says that it names one
)

// AppEvent is a webhook of an application, for all accounts that use it. It belongs to nobody until it is routed.
type AppEvent struct {
	ID      EventID
	Plugin  string
	Webhook string
	Account string // the vendor's id
	// Dedupe and DedupeSince as in Event; one per plugin and webhook.
	Dedupe      string
	DedupeSince time.Time
	State       AppEventState
	Data        abi.WebhookEvent
	ReceivedAt  time.Time
}

// User is a record that uses an account in a role.
type User struct {
	Integration ID
	Owner       account.Owner
	Status      abi.Status
	Entity      connection.EntityID
}

// Copy is the event of one record, made of an event of the application, and the job that works it off.
type Copy struct {
	Event       EventID
	Integration ID
	Owner       account.Owner
	Then        job.New
}

const (
	routePage    = 500  // records that get an event in one act
	keptUnrouted = 1000 // events of a plugin that could not be routed are kept, the newest
)

// ReceiveApp takes a webhook in that an application gets for all its accounts: verify with the application's secret, find whose
// account it is, then one act (event, and event and job for each record that uses the account), and only then answer. An event
// of an account that no record uses is acknowledged and kept for the operator. So is one of an account that names several
// connections although the manifest says that it names one: it goes to nobody. Errors: NotFound (plugin, webhook), Unauthorized
// (signature), Invalid, Unavailable (the operator has set no secret).
func (s *Service) ReceiveApp(ctx context.Context, pluginName, name string, in Inbound) (abi.HTTPReply, error) {
	p, err := s.integrationPlugin(pluginName)
	if err != nil {
		return abi.HTTPReply{}, notFound()
	}
	w, err := declaredWebhook(p, name, true)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	h, err := s.hook(p, &Integration{Plugin: p.Name}, w)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	keys, err := s.appKeys(ctx, h)
	if err != nil {
		return abi.HTTPReply{}, err
	}
	e := &AppEvent{ID: newEventID(), Plugin: p.Name, Webhook: w.Name, State: Routing, ReceivedAt: s.now()}
	held := newEvent(h, &in, e.ReceivedAt)
	reply, isEvent, err := s.admitEvent(ctx, h, keys, held, &in)
	if err != nil {
		return abi.HTTPReply{}, s.refused(ctx, h, err)
	}
	if !isEvent {
		return reply, nil
	}
	s.recognise(h, held, &in)
	e.Data, e.Dedupe, e.DedupeSince = held.Data, held.Dedupe, held.DedupeSince
	if held.Dedupe == string(held.ID) {
		e.Dedupe = string(e.ID)
	}
	e.Account = clip(in.Text(h.hook.Account), maxAccount)
	return reply, s.route(ctx, h, e)
}

// maxAccount bounds what a vendor calls an account.
const maxAccount = 500

// appKeys are the secrets that a vendor signs with for the application: a setting of its module.
func (s *Service) appKeys(ctx context.Context, h hooked) (hookKeys, error) {
	if h.hook == nil || h.hook.Account == "" {
		return hookKeys{}, fault.New(fault.Unsupported, "integration.ReceiveApp", "the module of %s does not say whose account a webhook is; the webhook %s cannot be of the application", h.plugin.Name, h.w.Name)
	}
	settings, err := s.Settings.Settings(ctx, h.module)
	if err != nil {
		return hookKeys{}, err
	}
	live := webhook.Keys(settings[h.hook.AppSecret])
	if len(live) == 0 {
		return hookKeys{}, fault.New(fault.Unavailable, "integration.ReceiveApp", "the operator has not set %q of module %s yet", h.hook.AppSecret, h.module.Name)
	}
	return hookKeys{live: live, own: []secret.Text{}}, nil
}

// route gives an event to every record that uses its account, a page in each act. What is there already stays as it is, so that
// a redelivery after a crash goes on where it stopped.
func (s *Service) route(ctx context.Context, h hooked, e *AppEvent) error {
	users, err := s.Store.AccountUsers(ctx, h.module.Name, e.Account, h.plugin.Name, h.w.Role, "", routePage)
	if err != nil {
		return err
	}
	if several := e.Account != "" && h.hook.OneAccount && connections(users) > 1; several || len(users) == 0 {
		e.State = Unrouted
		if several {
			e.State = Ambiguous
		}
		_, err := s.Store.ReceiveAppEvent(ctx, e, nil, maxReceived, keptUnrouted)
		s.Log.WarnContext(ctx, "webhook of the application kept and given to nobody", "op", "integration.ReceiveApp", "plugin", e.Plugin,
			"webhook", e.Webhook, "state", string(e.State), "event", string(e.ID))
		return err
	}
	for len(users) > 0 {
		var more []User
		e.State = Routed
		if len(users) == routePage {
			if more, err = s.Store.AccountUsers(ctx, h.module.Name, e.Account, h.plugin.Name, h.w.Role, users[len(users)-1].Integration, routePage); err != nil {
				return err
			}
			if len(more) > 0 {
				e.State = Routing
			}
		}
		existed, err := s.Store.ReceiveAppEvent(ctx, e, s.copies(h, e, users), maxReceived, keptUnrouted)
		if err != nil {
			return err
		}
		if existed {
			return nil
		}
		users = more
	}
	s.wake()
	return nil
}

// connections counts the connections of users.
func connections(users []User) int {
	var found []connection.EntityID
	for _, u := range users {
		if !slices.Contains(found, u.Entity) {
			found = append(found, u.Entity)
		}
	}
	return len(found)
}

// copies are the events of those who take any.
func (s *Service) copies(h hooked, e *AppEvent, users []User) []Copy {
	var out []Copy
	event := cmp.Or(h.w.Event, abi.EventOnWebhook)
	for _, u := range users {
		if Decide(u.Status, event) == Discard {
			continue
		}
		id := newEventID()
		record := &Integration{ID: u.Integration, Owner: u.Owner, Members: []Member{{Entity: u.Entity}}}
		out = append(out, Copy{Event: id, Integration: u.Integration, Owner: u.Owner, Then: s.eventJob(record, event, payload{Stored: id})})
	}
	return out
}

// Reroute tries again to route an event of an application that went to nobody, and returns where it is then. Errors: NotFound;
// Conflict when it was routed.
func (s *Service) Reroute(ctx context.Context, id EventID) (AppEventState, error) {
	e, err := s.Store.AppEventByID(ctx, id)
	if err != nil {
		return "", err
	}
	if e.State == Routed {
		return "", fault.New(fault.Conflict, "integration.Reroute", "the event was routed; its owners can replay it")
	}
	p, err := s.integrationPlugin(e.Plugin)
	if err != nil {
		return "", err
	}
	w, err := declaredWebhook(p, e.Webhook, true)
	if err != nil {
		return "", err
	}
	h, err := s.hook(p, &Integration{Plugin: p.Name}, w)
	if err != nil {
		return "", err
	}
	if h.hook == nil {
		return "", fault.New(fault.Unsupported, "integration.Reroute", "the module of %s declares no such webhook any more", e.Plugin)
	}
	err = s.route(ctx, h, e)
	return e.State, err
}

// AppEvents lists events of applications in these states, newest first, from before an id (empty: the newest), without bodies.
func (s *Service) AppEvents(ctx context.Context, states []AppEventState, before EventID, limit int) ([]*AppEvent, error) {
	return s.Store.AppEvents(ctx, states, before, limit)
}
