package event

import (
	"slices"
	"strings"
)

// Name says what happened, in the past tense. Names are only ever added.
type Name string

const (
	IntegrationCreated     Name = "integration.created"      // its ON_CREATE waits
	IntegrationEnabled     Name = "integration.enabled"      // it works
	IntegrationProcessing  Name = "integration.processing"   // it works, and a long task is under way
	IntegrationNeedsConfig Name = "integration.needs_config" // required configuration is missing
	IntegrationDisabled    Name = "integration.disabled"     // a person paused it
	IntegrationFailed      Name = "integration.failed"       // a credential was refused, or it cannot go on
	IntegrationRemoved     Name = "integration.removed"

	ConnectionCreated Name = "connection.created" // an account was authorised for the first time
	ConnectionRenewed Name = "connection.renewed" // an account was authorised again, or found to be good again
	ConnectionInvalid Name = "connection.invalid" // the vendor refuses the credential; the person must authorise again
	ConnectionRemoved Name = "connection.removed"

	JobHalted Name = "job.halted" // failed in a way that another try cannot mend
	JobDead   Name = "job.dead"   // every try failed
	JobParked Name = "job.parked" // waits for a person's decision

	WebhookReceived Name = "webhook.received" // a vendor's webhook was verified and stored

	EndpointDisabled Name = "endpoint.disabled" // an endpoint of outgoing webhooks gets nothing any more
	// EndpointTest is sent when somebody asks for it, to one endpoint; it is never stored.
	EndpointTest Name = "endpoint.test"
)

// Names are all names but those of integrations' own; see Notify.
var Names = []Name{
	IntegrationCreated, IntegrationEnabled, IntegrationProcessing, IntegrationNeedsConfig, IntegrationDisabled, IntegrationFailed, IntegrationRemoved,
	ConnectionCreated, ConnectionRenewed, ConnectionInvalid, ConnectionRemoved, JobHalted, JobDead, JobParked, WebhookReceived, EndpointDisabled,
}

const notify = "notify."

// Notify is the name of a fact that an integration tells: name is one of its manifest's `notifications`.
func Notify(name string) Name { return Name(notify + name) }

// Pattern chooses names: a name, "*" for all, or a beginning such as "integration.*".
type Pattern string

// Matches reports whether p chooses n.
func (p Pattern) Matches(n Name) bool {
	if beginning, ok := strings.CutSuffix(string(p), "*"); ok {
		return strings.HasPrefix(string(n), beginning)
	}
	return string(p) == string(n)
}

// Valid reports whether p can ever match: an unknown name is a spelling mistake. What integrations tell is known to their
// manifests only, so any `notify.NAME` may come.
func (p Pattern) Valid() bool {
	beginning, wild := strings.CutSuffix(string(p), "*")
	switch {
	case len(p) > 100:
		return false
	case wild && beginning != "" && !strings.HasSuffix(beginning, "."):
		return false
	case strings.HasPrefix(string(p), notify):
		name := strings.TrimPrefix(string(p), notify)
		return name == "*" || notificationName(name)
	}
	return p == "*" || slices.ContainsFunc(Names, p.Matches)
}

// notificationName is the rule of the contract for names that guests use.
func notificationName(s string) bool {
	return s != "" && s[0] >= 'A' && s[0] <= 'Z' && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}
