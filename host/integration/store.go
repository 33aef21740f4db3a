package integration

import (
	"context"
	"encoding/json"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/event"
	"github.com/frigg-host/frigg-host/host/job"
	"github.com/frigg-host/frigg-host/host/journal"
)

// Store is what this room keeps. Every method is one act, all or nothing. Ids that are unknown or somebody else's are
// fault.NotFound.
type Store interface {
	// CreateIntegration saves in and enqueues then.
	CreateIntegration(ctx context.Context, in *Integration, then job.New) error
	IntegrationByID(ctx context.Context, o account.Owner, id ID) (*Integration, error)
	// Integrations lists an owner's integrations by age, without those being removed.
	Integrations(ctx context.Context, o account.Owner) ([]*Integration, error)
	// CountIntegrations counts an owner's records of a plugin, without those being removed.
	CountIntegrations(ctx context.Context, o account.Owner, plugin string) (int, error)
	// IntegrationForWebhook finds a record for a vendor that knows its URL. It is the only read without an owner: the
	// signature of the request is checked against a secret of that record before anything follows.
	IntegrationForWebhook(ctx context.Context, id ID) (*Integration, error)
	// SaveIntegration writes status, configuration and completeness of in if the record is still at in.Revision, which it
	// counts up, else fault.Conflict. Messages are appended, and then is enqueued unless nil. If the status becomes one in
	// which the record works, its jobs that were put aside become due.
	SaveIntegration(ctx context.Context, in *Integration, messages []Message, then *job.New) error
	// AppendMessages adds messages to a record, whatever else happens to it.
	AppendMessages(ctx context.Context, o account.Owner, id ID, messages []Message) error
	// MessagesOf lists messages of an integration, oldest first, at most the newest 100 of each level.
	MessagesOf(ctx context.Context, o account.Owner, id ID) ([]Message, error)
	// IntegrationsWith lists the records in which an entity takes part.
	IntegrationsWith(ctx context.Context, o account.Owner, e connection.EntityID) ([]*Integration, error)

	// ReceiveEvent saves e and enqueues then; if an event with its Dedupe is there, it saves nothing and says so. Returns
	// fault.RateLimited when maxWaiting jobs of the record wait.
	ReceiveEvent(ctx context.Context, e *Event, then job.New, maxWaiting int) (existed bool, err error)
	EventByID(ctx context.Context, o account.Owner, id EventID) (*Event, error)
	// Receipts lists what an owner's records received, newest first.
	Receipts(ctx context.Context, o account.Owner, f ReceiptFilter, limit int) ([]*Receipt, error)
	ReceiptByID(ctx context.Context, o account.Owner, id EventID) (*Receipt, error)
	// ReplayEvent enqueues then as the job of an event. Returns fault.Conflict while a job of it is queued or running.
	ReplayEvent(ctx context.Context, o account.Owner, id EventID, then job.New) error
	// AccountUsers lists records of a plugin in which an account of a module plays a role, by id and behind after, whoever
	// owns them: an event of the application was signed for all of them.
	AccountUsers(ctx context.Context, module, account, plugin, role string, after ID, limit int) ([]User, error)
	// ReceiveAppEvent saves e, unless an event with its Dedupe is there, and a copy with its job for each record that has none
	// yet. e becomes the event that is there; its state becomes e.State unless it was routed, and then existed. A record for
	// which maxWaiting jobs wait gets its copy without the job. Of events that went to nobody the newest keep of the plugin stay.
	ReceiveAppEvent(ctx context.Context, e *AppEvent, copies []Copy, maxWaiting, keep int) (existed bool, err error)
	// AppEventByID and AppEvents are the operator's: events of an application have no owner.
	AppEventByID(ctx context.Context, id EventID) (*AppEvent, error)
	AppEvents(ctx context.Context, states []AppEventState, before EventID, limit int) ([]*AppEvent, error)
	// PruneEvents removes up to limit events that came before and whose job is done or forgotten, and returns how many. A
	// redelivery that comes later is a new event.
	PruneEvents(ctx context.Context, before time.Time, limit int) (int, error)

	MappingBySource(ctx context.Context, o account.Owner, id ID, set, source string) (json.RawMessage, error)
	// PutMappings writes all entries or, with ifAbsent and one of them there, none. Returns fault.TooLarge if the mappings
	// of the record would then exceed maxBytes.
	PutMappings(ctx context.Context, o account.Owner, id ID, entries []Mapping, ifAbsent bool, maxBytes int, now time.Time) (stored bool, err error)
	DeleteMapping(ctx context.Context, o account.Owner, id ID, set, source string) error
	Mappings(ctx context.Context, o account.Owner, id ID, set, after string, limit int) ([]Mapping, error)

	StoredValue(ctx context.Context, o account.Owner, id ID, key string) (json.RawMessage, error)
	// PutValue writes a value. Returns fault.TooLarge if keys and values of the record would then exceed maxBytes.
	PutValue(ctx context.Context, o account.Owner, id ID, key string, value json.RawMessage, maxBytes int, now time.Time) error
	DeleteValue(ctx context.Context, o account.Owner, id ID, key string) error
	ValueKeys(ctx context.Context, o account.Owner, id ID, prefix, after string, limit int) ([]string, error)

	// WebhookSecrets returns the sealed secrets of a webhook, newest first.
	WebhookSecrets(ctx context.Context, o account.Owner, id ID, webhook string) ([]HookSecret, error)
	// KeepWebhookSecret saves one and removes those of its webhook and origin beyond the newest keep. With keep 0 it saves
	// only if there is none of that origin.
	KeepWebhookSecret(ctx context.Context, o account.Owner, id ID, one HookSecret, keep int) error

	// SubscriptionOf returns the subscription to a webhook, SubscriptionsOf those of a record.
	SubscriptionOf(ctx context.Context, o account.Owner, id ID, webhook string) (*HookSubscription, error)
	SubscriptionsOf(ctx context.Context, o account.Owner, id ID) ([]*HookSubscription, error)
	// PutSubscription saves sub in place of the one that its record and webhook have.
	PutSubscription(ctx context.Context, sub *HookSubscription) error
	// DropSubscription forgets one; having none is fine.
	DropSubscription(ctx context.Context, o account.Owner, id ID, webhook string) error
	// Unsubscribed lists records of a plugin, of any owner, that work, have an account in a role and no subscription to a
	// webhook, or one that is due at now, and no job for it yet.
	Unsubscribed(ctx context.Context, plugin, role, webhook string, now time.Time, limit int) ([]User, error)

	// EnqueueFor enqueues work of an integration of the owner, all or nothing; what has the UniqueKey of a job that waits
	// existed. Returns fault.Exhausted when more than maxWaiting jobs would wait that guests of the record enqueued (those
	// with a UniqueKey).
	EnqueueFor(ctx context.Context, o account.Owner, id ID, jobs []job.New, maxWaiting int) ([]job.Enqueued, error)

	// Notify writes down what a guest tells, f.Subject being its record, unless something was told with the same once. Returns
	// fault.RateLimited when it told max things after since.
	Notify(ctx context.Context, f *event.Fact, once string, max int, since time.Time) error
}

// Settled is what a finished try changes on its record, in the act that settles the job (job.Settlement.With).
type Settled struct {
	Owner       account.Owner
	Integration ID
	// Status replaces the status if it is still one of From; empty changes nothing.
	Status abi.Status
	From   []abi.Status
	// Born replaces Status: the record works, or needs configuration, by its completeness at that moment.
	Born bool
	// IfRefused lets Status take effect only while the credential of an account that takes part is invalid.
	IfRefused bool
	// Messages are appended if Status was empty or took effect.
	Messages []Message
	// Then is enqueued if the record works after Status or Born took effect.
	Then []job.New
	// Remove deletes the record with everything that belongs to it, its waiting jobs included.
	Remove bool
	// Record is what of the run's journal is not on disk yet; may be nil.
	Record *journal.Closing
}
