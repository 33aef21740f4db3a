package main

import (
	"context"
	"fmt"

	"github.com/frigg-host/frigg-host/host"
)

type pluginRevokeCmd struct {
	dataFlags `embed:""`

	Name string `arg:"" help:"Name of the plugin."`
}

// Help has the examples of `plugin revoke --help`.
func (pluginRevokeCmd) Help() string {
	return `No version of the plugin serves until it is approved again. A running host notices within seconds; calls under way finish.
Removing its file from the plugins folder stops a plugin too, and keeps what it was granted.

Example:
  frigg-host plugin revoke crm`
}

func (c *pluginRevokeCmd) Run(ctx context.Context, s streams) error {
	return c.opened(ctx, s, func(h *host.Host) error {
		if err := h.Plugins.Revoke(ctx, c.Name); err != nil {
			return err
		}
		_, err := fmt.Fprintf(s.out, "revoked %s; it serves again after `frigg-host plugin approve %s`\n", c.Name, c.Name)
		return err
	})
}
