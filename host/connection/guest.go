package connection

import (
	"context"
	"log/slog"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// guestCall runs an export of the connection's module, with what the connection lets it reach.
func guestCall[Out any](ctx context.Context, c *conn, export string, in any, opt CallOptions) (Out, error) {
	call := plugin.Call{Plugin: c.m.Plugin, Export: export, Can: c.capabilities(opt), Timeout: opt.Timeout, Log: c.lines(opt)}
	if err := c.record(ctx, &call); err != nil {
		var none Out
		return none, err
	}
	return plugin.Invoke[Out](ctx, c.s.caller, call, in)
}

// record lets the call be a part of the recorded run that waits for it, if there is one, on the version with which it began.
func (c *conn) record(ctx context.Context, call *plugin.Call) error {
	waiting := plugin.HostCallOf(ctx)
	if waiting == nil || waiting.Journal == nil {
		return nil
	}
	call.Journal = waiting.Journal()
	pinned := call.Journal.Pin(c.m.Digest)
	if pinned == c.m.Digest {
		return nil
	}
	p, err := c.s.catalog.ByDigest(pinned)
	if err != nil {
		return fault.New(fault.Unavailable, "connection.Call", "module %s is not installed any more in the version with which this run began (%s); start the run again", c.m.Name, pinned).With(err)
	}
	call.Plugin = p
	return nil
}

// lines takes what the module's guest logs: into the log of the run that it is a part of, under the module's name, else into
// the host's.
func (c *conn) lines(opt CallOptions) func(level, message string) {
	if opt.Log != nil {
		return func(level, message string) { opt.Log(level, c.m.Name+": "+message) }
	}
	log := c.s.log.With("owner", string(c.owner), "plugin", c.m.Name)
	return func(level, message string) {
		var l slog.Level
		if l.UnmarshalText([]byte(level)) != nil {
			l = slog.LevelInfo
		}
		log.Log(context.Background(), l, "guest: "+message)
	}
}

// capabilities are those that the manifest asks for; a plugin that serves calls has been granted them.
func (c *conn) capabilities(opt CallOptions) plugin.Capabilities {
	var can plugin.Capabilities
	if c.m.claims("http") {
		can.HTTP = &guestHTTP{c, opt}
	}
	if c.m.claims("crypto") {
		can.Crypto = NewCrypto(opt.Handles)
	}
	if c.m.claims("storage") && c.entity != nil {
		can.Storage = storage{c.s, c.owner, c.entity.ID}
	}
	return can
}

// guestHTTP is the capability `http` of a module on its connection.
type guestHTTP struct {
	c   *conn
	opt CallOptions
}

// Send implements plugin.HTTPCapability. Every request sees the connection as it is then.
func (g *guestHTTP) Send(ctx context.Context, r abi.HTTPRequest) (abi.HTTPResponse, error) {
	opt := g.opt
	opt.Timeout = 0 // the call's deadline is in ctx
	if g.c.entity != nil {
		return g.c.s.Send(ctx, g.c.owner, g.c.entity.ID, r, opt)
	}
	now := *g.c
	if now.cred != nil {
		if err := now.reload(ctx); err != nil {
			return abi.HTTPResponse{}, err
		}
		if err := now.ready(ctx); err != nil {
			return abi.HTTPResponse{}, err
		}
		return now.send(ctx, r, opt)
	}
	res, err := now.send(ctx, r, opt)
	g.c.take(now.values) // what the answer's headers gave is stored with the rest, later
	return res, err
}
