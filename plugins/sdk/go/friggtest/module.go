//go:build !wasip1

package friggtest

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Module is a host in which the module under test runs for one account.
type Module struct {
	Host
	// Connection is the account, as the module is told of it.
	Connection abi.Connection
	// Vendor answers the module's requests. It sees paths below the base URL, and no credential.
	Vendor http.Handler
}

// NewModule makes a host whose requests go to vendor. In examples t may be nil.
func NewModule(t testing.TB, vendor http.Handler) *Module {
	m := &Module{Host: newHost(t), Vendor: vendor}
	m.serve = func(capability, function string, request []byte) ([]byte, bool) {
		if capability != "http" {
			return nil, false
		}
		return serve(request, func(q abi.HTTPRequest) (abi.HTTPResponse, error) { return ask(m.Vendor, q) }), true
	}
	return m
}

// Call calls a method of the module.
func Call[In, Out any](m *Module, method frigg.Method[In, Out], in In) (Out, error) {
	m.t.Helper()
	var out Out
	args, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	a, err := run[abi.MethodOutput](&m.Host, abi.ExportCallMethod, abi.MethodInput{Method: string(method), Args: args, Connection: m.Connection})
	if err != nil {
		return out, err
	}
	return out, wire.Decode(a.Value, &out, "the result")
}

// Identify asks who the account is; callback is the query of the redirect.
func (m *Module) Identify(callback map[string]string) ([]abi.Account, error) {
	a, err := run[abi.IdentifyOutput](&m.Host, abi.ExportIdentifyAccount, abi.IdentifyInput{Connection: m.Connection, Callback: callback})
	return a.Accounts, err
}

// TestAuth asks whether the credential is good.
func (m *Module) TestAuth() (abi.TestAuthOutput, error) {
	return run[abi.TestAuthOutput](&m.Host, abi.ExportTestAuth, abi.TestAuthInput{Connection: m.Connection})
}

// Reconcile asks the module whether a request happened that nobody answered.
func (m *Module) Reconcile(r abi.HTTPRequest, sentAt time.Time) (abi.ReconcileOutput, error) {
	return run[abi.ReconcileOutput](&m.Host, abi.ExportReconcileRequest, abi.ReconcileInput{Connection: m.Connection, Request: r, SentAtMS: sentAt.UnixMilli()})
}

// Subscribe asks the module to subscribe to a webhook; url and secret of w are made up where they are empty.
func (m *Module) Subscribe(w abi.SubscribeInput) (abi.WebhookSubscription, error) {
	return run[abi.WebhookSubscription](&m.Host, abi.ExportSubscribeWebhook, m.told(w))
}

// Renew asks the module to prolong a subscription.
func (m *Module) Renew(w abi.SubscribeInput) (abi.WebhookSubscription, error) {
	return run[abi.WebhookSubscription](&m.Host, abi.ExportRenewWebhook, m.told(w))
}

// Unsubscribe asks the module to end a subscription.
func (m *Module) Unsubscribe(w abi.SubscribeInput) error {
	_, err := run[abi.Empty](&m.Host, abi.ExportUnsubscribeWebhook, m.told(w))
	return err
}

func (m *Module) told(w abi.SubscribeInput) abi.SubscribeInput {
	w.Connection = m.Connection
	if w.URL == "" {
		w.URL = "https://frigg.test/hooks/int_test"
	}
	if w.Secret == "" {
		w.Secret = secretOf(w.Hook)
	}
	return w
}

// EntityForm asks for the form by which a person chooses an entity; typed is nil at first.
func (m *Module) EntityForm(typed any) (abi.Form, error) {
	input, err := optionalJSON(typed)
	if err != nil {
		return abi.Form{}, err
	}
	return run[abi.Form](&m.Host, abi.ExportEntityForm, abi.EntityFormInput{Connection: m.Connection, Input: input})
}

func optionalJSON(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}
