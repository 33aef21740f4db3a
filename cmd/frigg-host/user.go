package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/frigg-host/frigg-host/host"
	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/secret"
)

type userCmd struct {
	Create userCreateCmd `cmd:"" help:"Create a user."`
}

type userCreateCmd struct {
	dataFlags `embed:""`

	Username string `arg:"" help:"Name to log in with."`
	Email    string `help:"E-mail address."`
	JSON     bool   `help:"Print id and token as JSON." name:"json"`
}

// Help has the examples of `user create --help`.
func (userCreateCmd) Help() string {
	return `The password is read from standard input: one line. The host may be running.

Example:
  printf 'correct horse battery staple\n' | frigg-host user create ada@example.com --data /var/lib/frigg`
}

func (c *userCreateCmd) Run(ctx context.Context, s streams) error {
	line, err := bufio.NewReader(s.in).ReadString('\n')
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return &exitError{exitUsage, fmt.Sprintf("give the password on standard input, one line (%v)", err)}
	}
	return c.opened(ctx, s, func(h *host.Host) error {
		user, token, err := h.Accounts.CreateUser(ctx, account.NewUser{Username: c.Username, Email: c.Email, Password: secret.NewText(password)})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, map[string]string{"id": string(user.ID), "token": token.Reveal()})
		}
		_, err = fmt.Fprintf(s.out, "created %s (%s)\ntoken: %s\n", user.Username, user.ID, token.Reveal())
		return err
	})
}
