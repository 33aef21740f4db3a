package connection

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/requester"
	"github.com/frigg-host/frigg-host/host/secret"
)

// identifies reports that a module can say whose account a credential opens.
func (m *module) identifies() bool {
	return m.auth.Identify != nil || m.Has(abi.ExportIdentifyAccount) || m.auth.Kind == abi.AuthKindNone
}

// accounts finds out which accounts the connection opens. answer is what the vendor gave with the tokens, nil if that is not
// at hand any more.
func (c *conn) accounts(ctx context.Context, answer any, callback map[string]string) ([]abi.Account, error) {
	var found []abi.Account
	var err error
	switch {
	case c.m.auth.Identify != nil:
		found, err = c.accountsByData(ctx, answer)
	case c.m.Has(abi.ExportIdentifyAccount):
		var out abi.IdentifyOutput
		out, err = guestCall[abi.IdentifyOutput](ctx, c, abi.ExportIdentifyAccount,
			abi.IdentifyInput{Connection: c.describe(), Callback: callback}, CallOptions{Timeout: personWaits})
		found = out.Accounts
	case c.m.auth.Kind == abi.AuthKindNone:
		found = []abi.Account{{ExternalID: c.m.Name, Name: c.m.name}}
	}
	if err != nil {
		return nil, err
	}
	return found, c.checkAccounts(found)
}

// checkAccounts refuses accounts that cannot be kept. An id that holds a secret would show it, and be lost when it changes.
func (c *conn) checkAccounts(found []abi.Account) error {
	if len(found) > maxAccounts {
		return c.m.oddAccount("more than the largest number of accounts, %d", maxAccounts)
	}
	for i := range found {
		a := &found[i]
		a.Name = clip(a.Name, maxAccountName)
		switch {
		case a.ExternalID == "":
			return c.m.oddAccount("an account without an id")
		case len(a.ExternalID) > maxAccountID || len(a.SubType) > maxAccountID || len(a.Details) > maxDetailsBytes:
			return c.m.oddAccount("an account whose id or details are too long")
		case strings.ContainsRune(a.ExternalID+a.SubType, 0):
			return c.m.oddAccount("an account whose id has a NUL character")
		case len(a.Details) > 0 && !isObject(a.Details):
			return c.m.oddAccount("an account whose details are not an object")
		case c.shows(a.ExternalID + " " + a.SubType + " " + a.Name + " " + string(a.Details)), strings.Contains(a.ExternalID, scrubbed):
			return c.m.oddAccount("an account with a secret in its id, name or details")
		}
	}
	return nil
}

// scrubbed stands in answers where a secret was.
var scrubbed = secret.Text{}.String()

func (m *module) oddAccount(format string, args ...any) error {
	return fault.New(fault.Internal, "connection.Identify", "module "+m.Name+" names "+format, args...).On(fault.Guest)
}

func isObject(raw json.RawMessage) bool {
	doc, ok := pointer.Decode(raw)
	_, object := doc.(map[string]any)
	return ok && object
}

// shows reports that a text holds one of the connection's secrets.
func (c *conn) shows(text string) bool {
	for _, s := range c.secrets() {
		if v := s.Reveal(); len(v) > 3 && strings.Contains(text, v) {
			return true
		}
	}
	return false
}

// accountsByData follows `auth.identify`.
func (c *conn) accountsByData(ctx context.Context, answer any) ([]abi.Account, error) {
	id := c.m.auth.Identify
	if id.Request != nil {
		res, err := c.ask(ctx, id.Request)
		if err != nil {
			return nil, err
		}
		answer = lazyJSON(res.Body)()
	}
	entries := []any{answer}
	if id.List != "" {
		list, _ := pointer.At(answer, id.List)
		var isList bool
		if entries, isList = list.([]any); !isList {
			return nil, c.m.badIdentity("has no list at " + id.List)
		}
	}
	out := make([]abi.Account, 0, len(entries))
	for _, entry := range entries[:min(len(entries), maxAccounts+1)] {
		a, err := c.account(id, entry)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func (c *conn) account(id *abi.Identify, entry any) (abi.Account, error) {
	var a abi.Account
	if strings.HasPrefix(id.ExternalID, "/") {
		a.ExternalID, _ = pointer.Text(entry, id.ExternalID)
		if a.ExternalID == "" {
			return a, c.m.badIdentity("has no account id at " + id.ExternalID)
		}
	} else {
		text, err := c.fill().plain(id.ExternalID)
		if err != nil {
			return a, err
		}
		a.ExternalID = text
	}
	if id.SubType != "" {
		a.SubType, _ = pointer.Text(entry, id.SubType)
	}
	if id.Name != "" {
		a.Name, _ = pointer.Text(entry, id.Name)
	}
	details := map[string]any{}
	for name, path := range id.Details {
		if v, ok := pointer.At(entry, path); ok {
			details[name] = v
		}
	}
	if len(details) > 0 {
		var err error
		if a.Details, err = marshal(details); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (m *module) badIdentity(what string) error {
	return &fault.Error{
		Kind: fault.Unavailable, Side: fault.Remote, Op: "connection.Identify",
		Msg: "the answer of " + m.name + " to the question whose account this is " + what,
	}
}

// ask sends a request of the manifest and returns a good answer.
func (c *conn) ask(ctx context.Context, r *abi.RequestTemplate) (*requester.Response, error) {
	out, err := c.templated(r)
	if err != nil {
		return nil, err
	}
	res, verdict, err := c.exchange(ctx, out)
	if err != nil {
		return nil, err
	}
	if verdict != nil {
		return nil, verdict
	}
	return res, nil
}

// templated is a request of the manifest as it goes out, with the headers of every request.
func (c *conn) templated(r *abi.RequestTemplate) (*outgoing, error) {
	f := c.fill()
	out, err := f.request(r)
	if err != nil {
		return nil, err
	}
	out.timeout, out.maxBytes = personWaits, c.m.responseBytes()
	return out, f.standardHeaders(out)
}
