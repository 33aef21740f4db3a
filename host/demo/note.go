package demo

import "time"

type noteInput struct {
	Body string `json:"body"`
}

type note struct {
	ID        noteID    `json:"id"`
	ContactID contactID `json:"contact_id"`
	noteInput
	Author    string    `json:"author"` // the client that wrote it
	CreatedAt time.Time `json:"created_at"`
}

func (n note) stamp() stamp { return stamp{n.CreatedAt, string(n.ID)} }

func (in noteInput) check() error {
	f := fields{}
	f.required("body", in.Body)
	f.text("body", in.Body, 2000)
	return f.err()
}

func (c *CRM) listNotes(r *request) (reply, error) {
	id := contactID(r.PathValue("id"))
	var rows []note
	var ok bool
	c.store.view(func(s *state) {
		_, ok = s.Contacts[id]
		for _, row := range s.Notes {
			if row.ContactID == id {
				rows = append(rows, row)
			}
		}
	})
	if !ok {
		return reply{}, notFound("contact")
	}
	return page(r, rows)
}

func (c *CRM) createNote(r *request) (reply, error) {
	return c.create(r, func(a *act) (any, error) {
		id := contactID(r.PathValue("id"))
		if _, ok := a.Contacts[id]; !ok {
			return nil, notFound("contact")
		}
		in, err := merge(noteInput{}, r.body)
		if err != nil {
			return nil, err
		}
		if err := in.check(); err != nil {
			return nil, err
		}
		row := note{ID: noteID(a.id("note_")), ContactID: id, noteInput: in, Author: a.actor, CreatedAt: a.tick()}
		return row, put(a.Notes, row.ID, row)
	})
}
