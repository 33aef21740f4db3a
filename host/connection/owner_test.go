package connection_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/connection"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// TestOwner_AForeignIDIsNotFound tries every method with somebody else's ids. A method without a row fails the test.
func TestOwner_AForeignIDIsNotFound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.vendor.manifest(), abi.ExportCallMethod, abi.ExportEntityForm, abi.ExportRefreshEntityForm)
	for _, export := range []string{abi.ExportCallMethod, abi.ExportEntityForm, abi.ExportRefreshEntityForm} {
		r.guest.on(export, func(context.Context, plugin.Call) (any, error) {
			t.Errorf("%s ran for a stranger", export)
			return abi.Empty{}, nil
		})
	}
	got := r.connect()
	pending := r.callback()
	before, calls, tokens := snapshot(t, r), r.vendor.callCount(), r.vendor.grants("")

	ctx := t.Context()
	opt := connection.CallOptions{}
	rows := map[string]func(a account.Actor) error{
		"Entity":                func(a account.Actor) error { _, err := r.Entity(ctx, a, got.EntityID); return err },
		"OwnedEntity":           func(a account.Actor) error { _, err := r.OwnedEntity(ctx, a.Owner, got.EntityID); return err },
		"TestEntity":            func(a account.Actor) error { _, err := r.TestEntity(ctx, a, got.EntityID); return err },
		"CredentialForm":        func(a account.Actor) error { _, err := r.CredentialForm(ctx, a, got.CredentialID); return err },
		"EntityForm":            func(a account.Actor) error { _, err := r.EntityForm(ctx, a, got.EntityID, nil); return err },
		"RefreshEntityForm":     func(a account.Actor) error { _, err := r.RefreshEntityForm(ctx, a, got.EntityID, nil); return err },
		"DeauthorizeEntity":     func(a account.Actor) error { return r.DeauthorizeEntity(ctx, a, got.EntityID) },
		"DeauthorizeCredential": func(a account.Actor) error { return r.DeauthorizeCredential(ctx, a, got.CredentialID) },
		"Send": func(a account.Actor) error {
			_, err := r.Send(ctx, a.Owner, got.EntityID, abi.HTTPRequest{URL: "/things"}, opt)
			return err
		},
		"CallMethod": func(a account.Actor) error {
			_, err := r.CallMethod(ctx, a.Owner, got.EntityID, "list_things", nil, opt)
			return err
		},
		"Subscribe": func(a account.Actor) error {
			_, err := r.Subscribe(ctx, a.Owner, got.EntityID, connection.Webhook{}, opt)
			return err
		},
		"RenewSubscription": func(a account.Actor) error {
			_, err := r.RenewSubscription(ctx, a.Owner, got.EntityID, connection.Webhook{}, opt)
			return err
		},
		"Unsubscribe": func(a account.Actor) error {
			return r.Unsubscribe(ctx, a.Owner, got.EntityID, connection.Webhook{}, opt)
		},
		"CreateEntity": func(a account.Actor) error {
			_, err := r.CreateEntity(ctx, a, "crm", map[string]any{"credential_id": string(got.CredentialID), "external_id": "7"})
			return err
		},
	}
	others := map[string]func(a account.Actor) error{ // these take no id of an owner's
		"Entities": func(a account.Actor) error {
			list, err := r.Entities(ctx, a)
			if len(list) > 0 {
				t.Errorf("a stranger sees %d entities", len(list))
			}
			return err
		},
		"Requirements": func(a account.Actor) error { _, err := r.Requirements(ctx, a, "crm"); return err },
		"Authorize": func(a account.Actor) error {
			_, err := r.Authorize(ctx, a, "crm", pending)
			if fault.Is(err, fault.Invalid) {
				return nil // the state is not known
			}
			return err
		},
		"Close": func(account.Actor) error { return nil },
	}
	service := reflect.TypeOf(r.Service)
	if service.NumMethod() != len(rows)+len(others) {
		t.Errorf("%d methods and %d rows: add the new method", service.NumMethod(), len(rows)+len(others))
	}
	for i := range service.NumMethod() {
		name := service.Method(i).Name
		if rows[name] == nil && others[name] == nil {
			t.Errorf("method %s has no row", name)
		}
	}
	for name, act := range rows {
		wants(t, act(r.theirs), fault.NotFound, fault.Caller)
		wants(t, act(account.Actor{}), fault.Unauthorized, fault.Caller)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	for name, act := range others {
		if err := act(r.theirs); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "Close" {
			wants(t, act(account.Actor{}), fault.Unauthorized, fault.Caller)
			wants(t, act(account.Actor{User: r.mine.User}), fault.Unauthorized, fault.Caller)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, r)); diff != "" {
		t.Errorf("strangers changed something: -before +after:\n%s", diff)
	}
	if r.vendor.callCount() != calls || r.vendor.grants("") != tokens {
		t.Error("strangers reached the vendor")
	}
	_, err := r.Authorize(ctx, r.mine, "crm", pending)
	check(t, err)
}

// snapshot is what the owner has.
func snapshot(t *testing.T, r *rig) any {
	t.Helper()
	list, err := r.Entities(t.Context(), r.mine)
	check(t, err)
	c := r.credential(list[0].Credential)
	return []any{list, c}
}

// databaseFiles are all bytes on disk.
func databaseFiles(t *testing.T, r *rig) map[string]string {
	t.Helper()
	files, err := filepath.Glob(r.path + "*")
	check(t, err)
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		check(t, err)
		out[f] = string(b)
	}
	if len(out) < 2 {
		t.Fatalf("looked at %d files only", len(out))
	}
	return out
}
