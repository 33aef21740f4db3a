package host

import (
	"testing"
	"time"

	"github.com/frigg-host/frigg-host/abi"
)

func TestServer_WaitsForTheLongestCallThatCanBeGranted(t *testing.T) {
	t.Parallel()
	s := newServer(nil)
	if longest := abi.LimitMaxTimeoutMS*time.Millisecond + s.ReadTimeout; s.WriteTimeout <= longest {
		t.Errorf("an answer is cut off after %s, before the %s that it may take", s.WriteTimeout, longest)
	}
}
