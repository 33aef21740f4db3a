package connection

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/form"
	"github.com/frigg-host/frigg-host/host/pointer"
	"github.com/frigg-host/frigg-host/host/secret"
)

// Entity returns the entity with id if a owns it, else fault.NotFound.
func (s *Service) Entity(ctx context.Context, a account.Actor, id EntityID) (*Entity, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	return s.store.EntityByID(ctx, a.Owner, id)
}

// OwnedEntity is Entity for work that no user asked for.
func (s *Service) OwnedEntity(ctx context.Context, o account.Owner, id EntityID) (*Entity, error) {
	if err := o.Valid(); err != nil {
		return nil, err
	}
	return s.store.EntityByID(ctx, o, id)
}

// Entities lists what a has connected, by age.
func (s *Service) Entities(ctx context.Context, a account.Actor) ([]*Entity, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	return s.store.Entities(ctx, a.Owner)
}

// CredentialForm asks which account of a fresh credential to connect; CreateEntity takes the answer. It has a field
// external_id. Errors: NotFound; Unsupported when there is nothing to choose.
func (s *Service) CredentialForm(ctx context.Context, a account.Actor, id CredentialID) (abi.Form, error) {
	c, err := s.choosing(ctx, a, id)
	if err != nil {
		return abi.Form{}, err
	}
	return c.choice(ctx)
}

// EntityForm is the module's form about a connected account. Errors: NotFound; Unsupported.
func (s *Service) EntityForm(ctx context.Context, a account.Actor, id EntityID, input json.RawMessage) (abi.Form, error) {
	return s.entityForm(ctx, a, id, abi.ExportEntityForm, input)
}

// RefreshEntityForm is EntityForm after a field changed; input is what is filled in so far. The guest gets handles of fields
// that its forms call passwords.
func (s *Service) RefreshEntityForm(ctx context.Context, a account.Actor, id EntityID, input json.RawMessage) (abi.Form, error) {
	return s.entityForm(ctx, a, id, abi.ExportRefreshEntityForm, input)
}

func (s *Service) entityForm(ctx context.Context, a account.Actor, id EntityID, export string, input json.RawMessage) (abi.Form, error) {
	if err := a.Valid(); err != nil {
		return abi.Form{}, err
	}
	c, err := s.connect(ctx, a.Owner, id)
	if err != nil {
		return abi.Form{}, err
	}
	if !c.m.Has(export) {
		return abi.Form{}, fault.New(fault.Unsupported, "connection.EntityForm", "module %s has no form for its accounts", c.m.Name)
	}
	in, err := form.ReadInput(input)
	if err != nil {
		return abi.Form{}, err
	}
	if !in.Empty() && c.m.Has(abi.ExportEntityForm) {
		f, err := c.guestForm(ctx, abi.ExportEntityForm, nil, nil)
		if err != nil && !fault.Is(err, fault.Unsupported) {
			return abi.Form{}, err
		}
		if _, err := in.Learn(&f); err != nil {
			return abi.Form{}, err
		}
	}
	return in.Settle(func(all bool) (abi.Form, error) {
		handles := secret.NewHandles()
		return c.guestForm(ctx, export, in.Told(all, func(_ string, t secret.Text) string { return handles.Issue(t) }), handles)
	})
}

// guestForm asks for a form; input names secrets by the handles, which may be nil where there are none.
func (c *conn) guestForm(ctx context.Context, export string, input json.RawMessage, handles *secret.Handles) (abi.Form, error) {
	f, err := guestCall[abi.Form](ctx, c, export, abi.EntityFormInput{Connection: c.describe(), Input: input}, CallOptions{Handles: handles, Timeout: personWaits})
	if err != nil {
		return abi.Form{}, err
	}
	return f, form.Bounded(f)
}

// choosing opens a credential, with or without entities.
func (s *Service) choosing(ctx context.Context, a account.Actor, id CredentialID) (*conn, error) {
	if err := a.Valid(); err != nil {
		return nil, err
	}
	cred, err := s.store.CredentialByID(ctx, a.Owner, id)
	if err != nil {
		return nil, err
	}
	c, err := s.open(ctx, cred)
	if err != nil {
		return nil, err
	}
	return c, c.ready(ctx)
}

// choice is the guest's form, or one of the accounts that identify.
func (c *conn) choice(ctx context.Context) (abi.Form, error) {
	if c.m.Has(abi.ExportEntityForm) {
		return c.guestForm(ctx, abi.ExportEntityForm, nil, nil)
	}
	found, err := c.choices(ctx)
	if err != nil {
		return abi.Form{}, err
	}
	return accountForm(found)
}

// choices are the accounts that the module can list now that the token answer is gone; none if it cannot.
func (c *conn) choices(ctx context.Context) ([]abi.Account, error) {
	byData := c.m.auth.Identify != nil && c.m.auth.Identify.Request != nil
	if !byData && (c.m.auth.Identify != nil || !c.m.Has(abi.ExportIdentifyAccount)) {
		return nil, nil
	}
	return c.accounts(ctx, nil, nil)
}

// accountForm offers accounts by name.
func accountForm(found []abi.Account) (abi.Form, error) {
	if len(found) == 0 {
		return abi.Form{}, fault.New(fault.Unsupported, "connection.EntityForm", "the vendor names no account to choose from")
	}
	options := make([]map[string]string, 0, len(found))
	for _, a := range found {
		title := a.Name
		if title == "" {
			title = a.ExternalID
		}
		options = append(options, map[string]string{"const": a.ExternalID, "title": title})
	}
	schema, err := marshal(map[string]any{
		"type": "object", "required": []string{"external_id"},
		"properties": map[string]any{"external_id": map[string]any{"type": "string", "title": "Account", "oneOf": options}},
	})
	return abi.Form{JSONSchema: schema}, err
}

// CreateEntity connects the account that a person chose: data has credential_id and what CredentialForm asked for, with at
// least external_id. An account that is connected already keeps its id. Errors: NotFound for the credential; Invalid for an
// account that was not to be chosen.
func (s *Service) CreateEntity(ctx context.Context, a account.Actor, module string, data map[string]any) (*Entity, error) {
	if _, err := s.beginning(ctx, a, module); err != nil {
		return nil, err
	}
	id, _ := data["credential_id"].(string)
	if id == "" {
		return nil, fault.New(fault.Invalid, "connection.CreateEntity", "credential_id is missing")
	}
	c, err := s.choosing(ctx, a, CredentialID(id))
	if err != nil {
		return nil, err
	}
	if c.m.Name != module {
		return nil, fault.New(fault.NotFound, "connection.CreateEntity", "no such credential of module %s", clip(module, 64))
	}
	filled := maps.Clone(data)
	delete(filled, "credential_id")
	chosen, err := c.chosen(ctx, filled)
	if err != nil {
		return nil, err
	}
	e, err := s.store.AttachEntity(ctx, newEntity(a.Owner, c.m.Name, c.cred.ID, chosen, s.now()))
	if err != nil {
		return nil, err
	}
	s.tell(ctx, []*Entity{e})
	return e, nil
}

// chosen is the account that a person meant, among those that there are.
func (c *conn) chosen(ctx context.Context, data map[string]any) (abi.Account, error) {
	offered, err := c.choices(ctx)
	if err != nil {
		return abi.Account{}, err
	}
	id, _ := pointer.Scalar(data["external_id"])
	i := slices.IndexFunc(offered, func(a abi.Account) bool {
		return a.ExternalID == id && (data["sub_type"] == nil || data["sub_type"] == a.SubType)
	})
	switch {
	case i >= 0:
		return offered[i], nil
	case id == "" && len(offered) == 1:
		return offered[0], nil
	case !c.m.Has(abi.ExportEntityForm) || id == "":
		return abi.Account{}, fault.New(fault.Invalid, "connection.CreateEntity", "external_id must be one of the accounts that the form offers")
	}
	return c.filledIn(ctx, data)
}

// filledIn is an account as the guest's form describes it: external_id, sub_type and name by their names, all else as details.
func (c *conn) filledIn(ctx context.Context, data map[string]any) (abi.Account, error) {
	f, err := c.guestForm(ctx, abi.ExportEntityForm, nil, nil)
	if err != nil {
		return abi.Account{}, err
	}
	values, err := readForm(&f, data)
	if err != nil {
		return abi.Account{}, err
	}
	a := abi.Account{ExternalID: values["external_id"].text.Reveal(), SubType: values["sub_type"].text.Reveal(), Name: values["name"].text.Reveal()}
	details := map[string]string{}
	for name, v := range values {
		if v.secret {
			return a, fault.New(fault.Unsupported, "connection.CreateEntity", "module %s asks for a secret after authorising, which is not offered; ask for it in auth.form", c.m.Name).On(fault.Guest)
		}
		if name != "external_id" && name != "sub_type" && name != "name" {
			details[name] = v.text.Reveal()
		}
	}
	if len(details) > 0 {
		if a.Details, err = marshal(details); err != nil {
			return a, err
		}
	}
	found := []abi.Account{a}
	err = c.checkAccounts(found)
	return found[0], err
}
