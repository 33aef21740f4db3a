package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/frigg-host/frigg-host/host/api"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/frigg-host/frigg-host/host/plugin"
)

// echoes is a guest that costs nothing.
type echoes struct{ value json.RawMessage }

func (e echoes) Call(context.Context, plugin.Call) (json.RawMessage, error) { return e.value, nil }

// drain is a client that throws away what it gets.
type drain struct{ header http.Header }

func (d *drain) Header() http.Header         { return d.header }
func (d *drain) Write(p []byte) (int, error) { return len(p), nil }
func (d *drain) WriteHeader(int)             {}

// BenchmarkRoute is what the host adds to a route: its guest costs nothing. The handlers beside it are what nobody can be
// quicker than. The log goes to nobody, or to a file as that of a host does.
func BenchmarkRoute(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	bare := echo.New()
	bare.POST("/api/box-to-hub-integration/echo", func(c echo.Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		return c.Blob(200, "application/json", body)
	})
	plain := http.NewServeMux()
	plain.HandleFunc("POST /api/box-to-hub-integration/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	for _, size := range []int{0, 1 << 10, 64 << 10} {
		body := strings.Repeat(`{"item":"box"},`, size/15)
		value, _ := json.Marshal(map[string]any{"text": body, "headers": map[string]string{"content-type": "application/json"}})
		served := func(log *slog.Logger) http.Handler {
			s := &integration.Service{Plugins: newCatalog(b, "https://vendor.example"), Guests: echoes{value}, Log: log}
			return api.New(api.Config{Integrations: s, Log: log, PublicURL: "https://frigg.example.com"})
		}
		for name, h := range map[string]http.Handler{
			"host":          served(slog.New(slog.DiscardHandler)),
			"host,text-log": served(slog.New(slog.NewTextHandler(file, nil))),
			"echo":          bare,
			"net-http":      plain,
		} {
			b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
				b.ReportAllocs()
				w := &drain{http.Header{}}
				sent := httptest.NewRequest("POST", "/api/box-to-hub-integration/echo", strings.NewReader(body))
				sent.Header["Accept"], sent.Header["User-Agent"] = []string{"*/*"}, []string{"bench"}
				for b.Loop() {
					clear(w.header)
					r := *sent
					r.Body = io.NopCloser(strings.NewReader(body))
					h.ServeHTTP(w, &r)
				}
			})
		}
	}
}
