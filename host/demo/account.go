package demo

// account is the one customer of this vendor.
type account struct {
	ID   accountID `json:"id"`
	Name string    `json:"name"`
}

func (c *CRM) me(r *request) (reply, error) {
	var a account
	c.store.view(func(s *state) { a = s.Account })
	return reply{body: map[string]any{
		"account":   a,
		"user":      map[string]string{"name": User, "email": User + "@example.com"},
		"client_id": r.token.Client,
		"scopes":    r.token.Scopes,
	}}, nil
}
