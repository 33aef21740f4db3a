package outbound_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/frigg-host/frigg-host/host/account"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/outbound"
)

// TestForeign_IsNotFound walks every use case that names an endpoint.
func TestForeign_IsNotFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		e, key := r.endpoint(ada, "https://app.example.com/")
		r.happens(ada)
		pass(time.Second)
		d := r.deliveries(ada, e.ID)[0]
		other, _ := r.endpoint(bob, "https://bob.example.com/")
		no := false
		for _, o := range []account.Owner{bob, outbound.Operator, ""} {
			for name, use := range map[string]func(ctx context.Context) error{
				"Endpoint": func(ctx context.Context) error { _, err := r.s.Endpoint(ctx, o, e.ID); return err },
				"UpdateEndpoint": func(ctx context.Context) error {
					_, err := r.s.UpdateEndpoint(ctx, o, e.ID, outbound.Settings{Enabled: &no})
					return err
				},
				"RemoveEndpoint": func(ctx context.Context) error { return r.s.RemoveEndpoint(ctx, o, e.ID) },
				"RotateSecret":   func(ctx context.Context) error { _, _, err := r.s.RotateSecret(ctx, o, e.ID); return err },
				"TestEndpoint":   func(ctx context.Context) error { _, err := r.s.TestEndpoint(ctx, o, e.ID); return err },
				"Deliveries":     func(ctx context.Context) error { _, err := r.s.Deliveries(ctx, o, e.ID, nil, "", 10); return err },
				"Redeliver":      func(ctx context.Context) error { return r.s.Redeliver(ctx, o, e.ID, d.ID) },
			} {
				if err := use(t.Context()); !fault.Is(err, fault.NotFound) && (o != "" || !fault.Is(err, fault.Unauthorized)) {
					t.Errorf("%s by %q: %v", name, o, err)
				}
			}
		}
		if err := r.s.Redeliver(t.Context(), bob, other.ID, d.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("a foreign delivery behind one's own endpoint: %v", err)
		}
		if list, err := r.s.Endpoints(t.Context(), bob); err != nil || len(list) != 1 || list[0].ID != other.ID {
			t.Errorf("bob has %d endpoints, %v", len(list), err)
		}
		if got := r.read(ada, e.ID); got.State != outbound.Enabled || got.SecretNo != 1 || strings.Contains(got.Secret, key.Reveal()) {
			t.Errorf("the endpoint is now %+v", got)
		}
		if err := r.s.RemoveEndpoint(t.Context(), ada, e.ID); err != nil {
			t.Error(err)
		}
		r.happens(ada)
		pass(time.Minute)
		if n := len(r.told("https://app.example.com/")); n != 1 {
			t.Errorf("an endpoint that was removed was told of %d facts", n)
		}
	})
}
