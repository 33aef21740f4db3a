package demo

import (
	"maps"
	"slices"
	"time"
)

type contactInput struct {
	Name    string `json:"name"`
	Email   string `json:"email"`
	Company string `json:"company"`
	Phone   string `json:"phone"`
}

type contact struct {
	ID contactID `json:"id"`
	contactInput
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func (c contact) stamp() stamp { return stamp{c.UpdatedAt, string(c.ID)} }

func (in contactInput) check() error {
	f := fields{}
	f.required("name", in.Name)
	f.line("name", in.Name, 200)
	f.email("email", in.Email)
	f.line("company", in.Company, 200)
	f.line("phone", in.Phone, 40)
	return f.err()
}

func (c *CRM) listContacts(r *request) (reply, error) {
	email := r.URL.Query().Get("email")
	var rows []contact
	c.store.view(func(s *state) {
		for _, row := range s.Contacts {
			if email == "" || row.Email == email {
				rows = append(rows, row)
			}
		}
	})
	return page(r, rows)
}

func (c *CRM) contact(r *request) (reply, error) {
	var row contact
	var ok bool
	c.store.view(func(s *state) { row, ok = s.Contacts[contactID(r.PathValue("id"))] })
	if !ok {
		return reply{}, notFound("contact")
	}
	return reply{body: row}, nil
}

func (c *CRM) createContact(r *request) (reply, error) {
	return c.create(r, func(a *act) (any, error) {
		in, err := merge(contactInput{}, r.body)
		if err != nil {
			return nil, err
		}
		return a.addContact(in)
	})
}

func (a *act) addContact(in contactInput) (contact, error) {
	if err := in.check(); err != nil {
		return contact{}, err
	}
	now := a.tick()
	row := contact{ID: contactID(a.id("con_")), contactInput: in, CreatedAt: now, UpdatedAt: now}
	if err := put(a.Contacts, row.ID, row); err != nil {
		return contact{}, err
	}
	return row, a.emit(contactCreated, row)
}

func (c *CRM) patchContact(r *request) (reply, error) {
	var row contact
	err := c.change(r.token.Client, func(a *act) (err error) {
		row, err = a.editContact(contactID(r.PathValue("id")), r.body)
		return err
	})
	return reply{body: row}, err
}

// editContact applies a JSON merge patch; one that changes nothing leaves no trace.
func (a *act) editContact(id contactID, patch []byte) (contact, error) {
	row, ok := a.Contacts[id]
	if !ok {
		return contact{}, notFound("contact")
	}
	in, err := merge(row.contactInput, patch)
	if err != nil {
		return contact{}, err
	}
	if err := in.check(); err != nil {
		return contact{}, err
	}
	if in == row.contactInput {
		return row, nil
	}
	row.contactInput, row.UpdatedAt = in, a.tick()
	a.Contacts[id] = row
	return row, a.emit(contactUpdated, row)
}

func (c *CRM) deleteContact(r *request) (reply, error) {
	err := c.change(r.token.Client, func(a *act) error { return a.dropContact(contactID(r.PathValue("id"))) })
	return reply{status: 204}, err
}

// dropContact takes the contact's notes with it; deals and tasks stay and forget whom they were about.
func (a *act) dropContact(id contactID) error {
	row, ok := a.Contacts[id]
	if !ok {
		return notFound("contact")
	}
	delete(a.Contacts, id)
	maps.DeleteFunc(a.Notes, func(_ noteID, n note) bool { return n.ContactID == id })
	for _, t := range a.Tasks {
		if t.ContactID == id {
			t.ContactID, t.UpdatedAt = "", a.tick()
			a.Tasks[t.ID] = t
		}
	}
	if err := a.emit(contactDeleted, row); err != nil {
		return err
	}
	for _, dealID := range slices.Sorted(maps.Keys(a.Deals)) {
		d := a.Deals[dealID]
		if d.ContactID != id {
			continue
		}
		in := d.dealInput
		in.ContactID = ""
		if _, err := a.saveDeal(d, in); err != nil {
			return err
		}
	}
	return nil
}
