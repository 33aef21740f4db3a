package outbound

import (
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/host/secret"
)

// TestSigned_IsThePublishedVector is the example of the Standard Webhooks libraries:
// https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries
func TestSigned_IsThePublishedVector(t *testing.T) {
	t.Parallel()
	key := secret.NewText("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	h, err := signed([]secret.Text{key, key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if err != nil || h.Get("Webhook-Signature") != want+" "+want {
		t.Errorf("got %s, %v", h.Get("Webhook-Signature"), err)
	}
}

func TestPause_GrowsToFiveMinutes(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{1: 0, 2: 0, 3: 5 * time.Second, 4: 10 * time.Second, 9: 5 * time.Minute, 1000: 5 * time.Minute} {
		if got := pause(failures); got != want {
			t.Errorf("after %d failures %s, want %s", failures, got, want)
		}
	}
}
