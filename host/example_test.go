package host_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/frigg-host/frigg-host/host"
)

// A Go program can be its own integration host.
func Example() {
	dir, _ := os.MkdirTemp("", "frigg")
	defer os.RemoveAll(dir)

	h, err := host.New(context.Background(), host.Config{
		DataDir:    filepath.Join(dir, "data"),    // the database; the root key is made beside it
		PluginsDir: filepath.Join(dir, "plugins"), // drop .wasm files here
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop() // here a program does what it is for
		answer, err := http.Get("http://" + listener.Addr().String() + "/health")
		if err == nil {
			answer.Body.Close()
			fmt.Println(answer.Status)
		}
	}()
	fmt.Println("stopped:", h.Run(ctx, listener))
	// Output:
	// 200 OK
	// stopped: <nil>
}
