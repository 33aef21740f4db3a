package host_test

import (
	"net/http"
	"testing"
)

// A line of a guest says who said it and for whom, also when a module said it inside the call of an integration.
func TestLog_GuestsAreNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, plugins(t, ""), nil)
	c := r.user("ada", "correct horse")
	id := c.keyFlow(nil)
	status, answer := c.act(id, step{"do": "log", "text": "hello from the flow"},
		step{"do": "call", "role": "key", "method": "do", "body": order(step{"do": "log", "text": "hello from the module"})})
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	for _, line := range []string{`msg="guest: hello from the flow"`, `msg="guest: probe-key: hello from the module"`} {
		if !r.log.hasLine("level=INFO", line, "owner="+string(c.actor.Owner), "integration="+string(id), "plugin=flow") {
			t.Errorf("no line with %s in\n%s", line, r.log)
		}
	}
	if !r.log.hasLine("level=DEBUG", `msg="request to a vendor"`, "method=GET", "host=127.0.0.1", "status=200") {
		t.Error("requests to vendors are not logged")
	}
}

// Why a webhook was refused is for the operator too: the vendor will not tell.
func TestLog_RefusedWebhooksAreExplained(t *testing.T) {
	t.Parallel()
	r := newRig(t, plugins(t, ""), nil)
	c := r.user("ada", "correct horse")
	id := c.keyFlow(map[string]any{"typed_webhook_secret": "webhook secret"})
	o := &ordeal{rig: r, haystack: newHaystack(), ada: c, flow: id}
	o.post(http.StatusUnauthorized, "typed", "another secret", "1")
	if !r.log.hasLine("level=WARN", `msg="webhook refused"`, "integration="+string(id), "plugin=flow", "webhook=typed", "it does not match what came and this webhook's secret") {
		t.Errorf("no line says why in\n%s", r.log)
	}
}
