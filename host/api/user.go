package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
	"github.com/labstack/echo/v4"
)

// maxLoginBody is the largest body of requests that anybody may send.
const maxLoginBody = 64 << 10

// Login is what a person logs in with.
type Login struct {
	Username string `json:"username" example:"ada"`
	Password string `json:"password" format:"password" writeOnly:"true" example:"correct horse battery staple"`
}

// NewUser is what a person gives to become a user.
type NewUser struct {
	Login
	Email string `json:"email,omitempty" example:"ada@example.com"`
}

// Token lets a client call.
type Token struct {
	Token string `json:"token" doc:"Opaque. Send it as Authorization: Bearer <token>. Good for two hours unless the operator says otherwise." example:"fht_..."`
}

// anybody is the gate of operations that are open to all, a limited number of times from one address.
type anybody struct{ address string }

func (g *anybody) admit(_ *API, c echo.Context) error {
	g.address = c.RealIP()
	return nil
}

func (*anybody) security() []map[string][]string { return nil }

type createUserInput struct {
	anybody
	Body NewUser
}

type loginInput struct {
	anybody
	Body Login
}

func (a *API) users() {
	operation(a, huma.Operation{
		OperationID: "createUser", Method: http.MethodPost, Path: "/user/create", Tags: []string{tagUsers},
		Summary: "Create a user", Description: "Makes an individual who logs in with a password, and logs it in.",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxLoginBody, Errors: []int{http.StatusForbidden, http.StatusConflict, http.StatusTooManyRequests},
	}, a.createUser)
	operation(a, huma.Operation{
		OperationID: "login", Method: http.MethodPost, Path: "/user/login", Tags: []string{tagUsers},
		Summary: "Log in", Description: "Returns a new token. The answer is the same, after the same time, whether the user does not exist or the password is wrong.",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxLoginBody, Errors: []int{http.StatusUnauthorized, http.StatusTooManyRequests},
	}, a.login)
}

func (a *API) createUser(ctx context.Context, in *createUserInput) (Token, error) {
	if a.ClosedSignUp {
		return Token{}, fault.New(fault.Forbidden, "api.createUser", "this host's operator creates the users")
	}
	if err := a.attempts.count(in.address, ""); err != nil {
		return Token{}, err
	}
	_, token, err := a.Accounts.CreateUser(ctx, account.NewUser{Username: in.Body.Username, Email: in.Body.Email, Password: secret.NewText(in.Body.Password)})
	return Token{token.Reveal()}, err
}

func (a *API) login(ctx context.Context, in *loginInput) (Token, error) {
	if err := a.attempts.count(in.address, in.Body.Username); err != nil {
		return Token{}, err
	}
	_, token, err := a.Accounts.Login(ctx, in.Body.Username, secret.NewText(in.Body.Password))
	return Token{token.Reveal()}, err
}
