package main

import (
	"context"
	"io"
	"os"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The peer in another process: this program once more, started with the argument `plugin` and spoken to over gRPC. Messages
// are bytes; which export is meant goes along as metadata. Questions to the host go over a connection of its own, as
// go-plugin does it.

var handshake = goplugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "FRIGG_BENCH", MagicCookieValue: "plugin"}

const (
	exportKey  = "export"
	callMethod = "/bench.Guest/Call"
	askMethod  = "/bench.Host/Ask"
	hostID     = 1
)

// server answers one method whose messages are bytes.
type server func(ctx context.Context, input []byte) ([]byte, error)

// describe makes a service with the one method of s.
func describe(service, method string) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: method,
		Handler: func(s any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(wrapperspb.BytesValue)
			if err := decode(in); err != nil {
				return nil, err
			}
			output, err := s.(server)(ctx, in.Value)
			return wrapperspb.Bytes(output), err
		},
	}}}
}

// remotePlugin is both ends of the plugin.
type remotePlugin struct {
	goplugin.NetRPCUnsupportedPlugin
}

// GRPCServer is the end of the guest.
func (remotePlugin) GRPCServer(broker *goplugin.GRPCBroker, s *grpc.Server) error {
	var host *grpc.ClientConn
	s.RegisterService(describe("bench.Guest", "Call"), server(func(ctx context.Context, input []byte) (_ []byte, err error) {
		if host == nil { // calls come one after the other
			if host, err = broker.Dial(hostID); err != nil {
				return nil, err
			}
		}
		md, _ := metadata.FromIncomingContext(ctx)
		return work(md.Get(exportKey)[0], input, func(question []byte) ([]byte, error) {
			return invoke(ctx, host, askMethod, question)
		})
	}))
	return nil
}

// GRPCClient is the end of the host.
func (remotePlugin) GRPCClient(_ context.Context, broker *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	go broker.AcceptAndServe(hostID, func(options []grpc.ServerOption) *grpc.Server {
		s := grpc.NewServer(options...)
		s.RegisterService(describe("bench.Host", "Ask"), server(func(context.Context, []byte) ([]byte, error) { return answer, nil }))
		return s
	})
	return c, nil
}

func invoke(ctx context.Context, c *grpc.ClientConn, method string, input []byte) ([]byte, error) {
	var out wrapperspb.BytesValue
	err := c.Invoke(ctx, method, wrapperspb.Bytes(input), &out)
	return out.Value, err
}

var plugins = goplugin.PluginSet{"guest": remotePlugin{}}

// servePlugin is the program in the role of the plugin.
func servePlugin() {
	goplugin.Serve(&goplugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugins, GRPCServer: goplugin.DefaultGRPCServer, Logger: hclog.NewNullLogger()})
}

// remote is the program in the role of the host.
type remote struct {
	client     *goplugin.Client
	connection *grpc.ClientConn
}

func openGoPlugin(context.Context, *sample) (caller, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: handshake, Plugins: plugins, Cmd: exec.Command(program, "plugin"),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, Logger: hclog.NewNullLogger(), Stderr: io.Discard,
	})
	protocol, err := client.Client()
	if err != nil {
		return nil, err
	}
	connection, err := protocol.Dispense("guest")
	if err != nil {
		client.Kill()
		return nil, err
	}
	return &remote{client, connection.(*grpc.ClientConn)}, nil
}

func (r *remote) call(export string, input []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), exportKey, export), timeout)
	defer cancel()
	return invoke(ctx, r.connection, callMethod, input)
}

func (r *remote) close() error {
	r.client.Kill()
	return nil
}
