package demo

import (
	"slices"
	"time"
)

// The stages of a deal.
const (
	stageLead      = "lead"
	stageQualified = "qualified"
	stageWon       = "won"
	stageLost      = "lost"
)

var stages = []string{stageLead, stageQualified, stageWon, stageLost}

type dealInput struct {
	Title       string    `json:"title"`
	ContactID   contactID `json:"contact_id"`
	AmountCents int64     `json:"amount_cents"`
	Currency    string    `json:"currency"`
	Stage       string    `json:"stage"`
}

type deal struct {
	ID dealID `json:"id"`
	dealInput
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func (d deal) stamp() stamp { return stamp{d.UpdatedAt, string(d.ID)} }

// open deals can still be won.
func (d deal) open() bool { return d.Stage == stageLead || d.Stage == stageQualified }

func (in dealInput) withDefaults() dealInput {
	if in.Currency == "" {
		in.Currency = "EUR"
	}
	if in.Stage == "" {
		in.Stage = stageLead
	}
	return in
}

func (in dealInput) check(s *state) error {
	f := fields{}
	f.required("title", in.Title)
	f.line("title", in.Title, 200)
	f.contact(s, in.ContactID)
	f.require("amount_cents", in.AmountCents >= 0 && in.AmountCents <= 1e13, "must be from 0 to 10000000000000")
	f.require("currency", isCurrency(in.Currency), "must be three capital letters, as in ISO 4217")
	f.require("stage", slices.Contains(stages, in.Stage), "must be lead, qualified, won or lost")
	return f.err()
}

func isCurrency(s string) bool {
	return len(s) == 3 && !slices.ContainsFunc([]byte(s), func(b byte) bool { return b < 'A' || b > 'Z' })
}

func (c *CRM) listDeals(r *request) (reply, error) {
	stage := r.URL.Query().Get("stage")
	var rows []deal
	c.store.view(func(s *state) {
		for _, row := range s.Deals {
			if stage == "" || row.Stage == stage {
				rows = append(rows, row)
			}
		}
	})
	return page(r, rows)
}

func (c *CRM) deal(r *request) (reply, error) {
	var row deal
	var ok bool
	c.store.view(func(s *state) { row, ok = s.Deals[dealID(r.PathValue("id"))] })
	if !ok {
		return reply{}, notFound("deal")
	}
	return reply{body: row}, nil
}

func (c *CRM) createDeal(r *request) (reply, error) {
	return c.create(r, func(a *act) (any, error) {
		in, err := merge(dealInput{}, r.body)
		if err != nil {
			return nil, err
		}
		return a.addDeal(in)
	})
}

func (a *act) addDeal(in dealInput) (deal, error) {
	in = in.withDefaults()
	if err := in.check(a.state); err != nil {
		return deal{}, err
	}
	now := a.tick()
	row := deal{ID: dealID(a.id("deal_")), dealInput: in, CreatedAt: now, UpdatedAt: now}
	if err := put(a.Deals, row.ID, row); err != nil {
		return deal{}, err
	}
	if err := a.emit(dealCreated, row); err != nil {
		return deal{}, err
	}
	return row, a.emitWon(row, stageLead)
}

func (c *CRM) patchDeal(r *request) (reply, error) {
	var row deal
	err := c.change(r.token.Client, func(a *act) (err error) {
		row, err = a.editDeal(dealID(r.PathValue("id")), r.body)
		return err
	})
	return reply{body: row}, err
}

// editDeal applies a JSON merge patch; one that changes nothing leaves no trace.
func (a *act) editDeal(id dealID, patch []byte) (deal, error) {
	row, ok := a.Deals[id]
	if !ok {
		return deal{}, notFound("deal")
	}
	in, err := merge(row.dealInput, patch)
	if err != nil {
		return deal{}, err
	}
	return a.saveDeal(row, in)
}

// winDeal moves a deal to won; one that is won already stays as it is.
func (a *act) winDeal(id dealID) error {
	row, ok := a.Deals[id]
	if !ok {
		return notFound("deal")
	}
	in := row.dealInput
	in.Stage = stageWon
	_, err := a.saveDeal(row, in)
	return err
}

func (a *act) saveDeal(row deal, in dealInput) (deal, error) {
	in = in.withDefaults()
	if err := in.check(a.state); err != nil {
		return deal{}, err
	}
	if in == row.dealInput {
		return row, nil
	}
	before := row.Stage
	row.dealInput, row.UpdatedAt = in, a.tick()
	a.Deals[row.ID] = row
	if err := a.emit(dealUpdated, row); err != nil {
		return deal{}, err
	}
	return row, a.emitWon(row, before)
}

func (a *act) emitWon(row deal, before string) error {
	if row.Stage != stageWon || before == stageWon {
		return nil
	}
	return a.emit(dealWon, row)
}
