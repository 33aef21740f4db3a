package module

import (
	"encoding/json"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

// Account is one account at the vendor; its ExternalID must not be derived from a secret.
type Account = abi.Account

// Webhook is a webhook that the vendor shall send: URL and Secret are handles, which the host replaces at the wire.
type Webhook = abi.SubscribeInput

// Subscription is what the vendor said of one: its id, and when it ends.
type Subscription = abi.WebhookSubscription

// Subscriber subscribes to webhooks at the vendor. Renew may be nil: then a new one is made before the old one ends. A fault of
// kind not_found from it means that the vendor does not know the subscription any more.
type Subscriber struct {
	Subscribe   func(*Call, Webhook) (Subscription, error)
	Renew       func(*Call, Webhook) (Subscription, error)
	Unsubscribe func(*Call, Webhook) error
}

var (
	subscriber Subscriber
	methods    = map[string]func(*Call, json.RawMessage) (any, error){}
	identify   func(*Call, map[string]string) ([]Account, error)
	testAuth   func(*Call) error
	entityForm func(*Call, json.RawMessage) (frigg.Form, error)
)

// Method registers what answers a method of the manifest.
func Method[In, Out any](name frigg.Method[In, Out], f func(*Call, In) (Out, error)) {
	wire.Declare("method", string(name))
	wire.Prepare[In]()
	wire.Prepare[Out]()
	methods[string(name)] = func(c *Call, args json.RawMessage) (any, error) {
		var in In
		if err := wire.Decode(args, &in, "the arguments of "+string(name)); err != nil {
			return nil, err
		}
		return f(c, in)
	}
}

// Identify registers what says who a freshly authorised account is. Callback holds the query of the redirect but code and
// state. No account means that the person must choose one (EntityForm). Most modules say it as data in the manifest instead.
func Identify(f func(c *Call, callback map[string]string) ([]Account, error)) {
	wire.Declare("export", abi.ExportIdentifyAccount)
	identify = f
}

// TestAuth registers what tests a connection: nil is good, a fault of kind unauthorized or forbidden means that the vendor
// refuses the credential, any other error that nothing is known. Most modules say it as data in the manifest instead.
func TestAuth(f func(*Call) error) {
	wire.Declare("export", abi.ExportTestAuth)
	testAuth = f
}

// EntityForm registers the form by which a person chooses what to connect. In is what was filled in so far; it is asked
// again when a field changed.
func EntityForm[In any](f func(*Call, In) (frigg.Form, error)) {
	wire.Declare("export", abi.ExportEntityForm)
	wire.Prepare[In]()
	entityForm = func(c *Call, input json.RawMessage) (frigg.Form, error) {
		var in In
		wire.DecodeLoosely(input, &in)
		return f(c, in)
	}
}

// Subscriptions registers what subscribes to webhooks. Most modules say it as data in the manifest instead.
func Subscriptions(s Subscriber) {
	wire.Declare("export", abi.ExportSubscribeWebhook)
	subscriber = s
}

func init() {
	wire.Export(abi.ExportSubscribeWebhook, subscribe)
	wire.Export(abi.ExportRenewWebhook, renew)
	wire.Export(abi.ExportUnsubscribeWebhook, unsubscribe)
	wire.Export(abi.ExportCallMethod, callMethod)
	wire.Export(abi.ExportIdentifyAccount, identifyAccount)
	wire.Export(abi.ExportTestAuth, judgeAuth)
	wire.Export(abi.ExportReconcileRequest, askReconcile)
	wire.Export(abi.ExportEntityForm, askEntity)
	wire.Export(abi.ExportRefreshEntityForm, askEntity)
}

func callMethod(h wire.Host, in abi.MethodInput) (abi.MethodOutput, error) {
	f, ok := methods[in.Method]
	if !ok {
		return abi.MethodOutput{}, frigg.Unsupported("the method %s has no handler", in.Method)
	}
	out, err := f(&Call{Connection: in.Connection, host: h}, in.Args)
	if err != nil {
		return abi.MethodOutput{}, err
	}
	value, err := json.Marshal(out)
	return abi.MethodOutput{Value: value}, err
}

func identifyAccount(h wire.Host, in abi.IdentifyInput) (abi.IdentifyOutput, error) {
	if identify == nil {
		return abi.IdentifyOutput{}, frigg.Unsupported("this module has no handler for Identify")
	}
	accounts, err := identify(&Call{Connection: in.Connection, host: h}, in.Callback)
	return abi.IdentifyOutput{Accounts: append([]Account{}, accounts...)}, err
}

func judgeAuth(h wire.Host, in abi.TestAuthInput) (abi.TestAuthOutput, error) {
	if testAuth == nil {
		return abi.TestAuthOutput{}, frigg.Unsupported("this module has no handler for TestAuth")
	}
	err := testAuth(&Call{Connection: in.Connection, host: h})
	switch {
	case err == nil:
		return abi.TestAuthOutput{Outcome: abi.AuthOutcomeOk}, nil
	case frigg.Is(err, frigg.KindUnauthorized, frigg.KindForbidden):
		return abi.TestAuthOutput{Outcome: abi.AuthOutcomeInvalid, Message: err.Error()}, nil
	}
	return abi.TestAuthOutput{Outcome: abi.AuthOutcomeUnavailable, Message: err.Error()}, nil
}

func subscribe(h wire.Host, in abi.SubscribeInput) (abi.WebhookSubscription, error) {
	return subscribeWith(subscriber.Subscribe, "subscribes to", h, in)
}

func renew(h wire.Host, in abi.SubscribeInput) (abi.WebhookSubscription, error) {
	return subscribeWith(subscriber.Renew, "renews", h, in)
}

func subscribeWith(f func(*Call, Webhook) (Subscription, error), does string, h wire.Host, in abi.SubscribeInput) (abi.WebhookSubscription, error) {
	if f == nil {
		return abi.WebhookSubscription{}, frigg.Unsupported("nothing in this module %s webhooks", does)
	}
	return f(&Call{Connection: in.Connection, host: h}, in)
}

func unsubscribe(h wire.Host, in abi.SubscribeInput) (abi.Empty, error) {
	if subscriber.Unsubscribe == nil {
		return abi.Empty{}, frigg.Unsupported("nothing in this module ends webhooks")
	}
	return abi.Empty{}, subscriber.Unsubscribe(&Call{Connection: in.Connection, host: h}, in)
}

func askEntity(h wire.Host, in abi.EntityFormInput) (abi.Form, error) {
	if entityForm == nil {
		return abi.Form{}, frigg.Unsupported("this module has no handler for EntityForm")
	}
	form, err := entityForm(&Call{Connection: in.Connection, host: h}, in.Input)
	if err != nil {
		return abi.Form{}, err
	}
	return form.Message()
}
