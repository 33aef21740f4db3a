package api

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/labstack/echo/v4"
)

// maxWebhook is the largest webhook in bytes.
const maxWebhook = 1 << 20

// webhookMethods are those that vendors use: some ask by GET or HEAD whether the address is ours.
var webhookMethods = []string{http.MethodPost, http.MethodPut, http.MethodGet, http.MethodHead}

const integrationSuffix = "-integration"

// webhooks are plain handlers: their bodies are the vendor's, and so are the answers.
func (a *API) webhooks() {
	for _, path := range []string{"/api/:plugin/webhooks", "/api/:plugin/webhooks/:id", "/api/:plugin/webhooks/:id/:webhook"} {
		a.echo.Match(webhookMethods, path, a.receive)
	}
	a.describeWebhook("receiveWebhook", "/api/{name}-integration/webhooks/{integrationId}", "Takes a webhook in, for integrations that declare one.")
	a.describeWebhook("receiveNamedWebhook", "/api/{name}-integration/webhooks/{integrationId}/{webhook}", "Takes a webhook in, for integrations that declare several. *Own addition.*")
	a.describeWebhook("receiveAppWebhook", "/api/{name}-integration/webhooks", "Takes a webhook in that a vendor sends to one URL for all accounts of an application. It goes to every integration that uses the account. An integration with several has them below this path, by name.")
}

func (a *API) describeWebhook(id, path, text string) {
	op := &huma.Operation{
		OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{tagWebhooks}, Summary: "Receive a webhook",
		Description: text + " The request is verified as the vendor signs it, and is on disk before the answer. A redelivery is acknowledged and not worked again. " +
			"GET, HEAD and PUT are taken too, for vendors that check the address.",
		RequestBody: &huma.RequestBody{Description: "As the vendor sends it, at most 1 MiB.", Content: map[string]*huma.MediaType{"*/*": {}}},
		Responses: map[string]*huma.Response{
			"200": {Description: "It will be worked off. Integrations may answer something else, as the vendor expects it."},
			"401": a.failure("The signature was refused."),
			"404": a.failure("There is no such integration or webhook."),
			"413": a.failure("The body is too large."),
		},
	}
	for name := range strings.SplitSeq(path, "/") {
		if open, end := strings.IndexByte(name, '{'), strings.IndexByte(name, '}'); open >= 0 {
			op.Parameters = append(op.Parameters, &huma.Param{Name: name[open+1 : end], In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
		}
	}
	a.document.AddOperation(op)
}

func (a *API) receive(c echo.Context) error {
	name, ok := strings.CutSuffix(c.Param("plugin"), integrationSuffix)
	if !ok {
		return fault.New(fault.NotFound, "api.receive", "no such integration")
	}
	r := c.Request()
	body, err := read(c.Response().Writer, r, maxWebhook)
	if err != nil {
		return err
	}
	in := integration.Inbound{Method: r.Method, URL: a.PublicURL + r.URL.RequestURI(), Header: r.Header, Query: r.URL.Query(), Body: body}
	var reply abi.HTTPReply
	if id := integration.ID(c.Param("id")); validID(reflect.TypeOf(id), string(id)) {
		reply, err = a.Integrations.Receive(r.Context(), name, id, c.Param("webhook"), in)
	} else if c.Param("webhook") != "" {
		err = fault.New(fault.NotFound, "api.receive", "no such integration")
	} else { // of the application
		reply, err = a.Integrations.ReceiveApp(r.Context(), name, string(id), in)
	}
	if err != nil {
		return err
	}
	return writeReply(c, reply)
}

// writeReply answers as a guest wants it, within bounds: no redirects, and only headers that mean nothing to browsers.
func writeReply(c echo.Context, reply abi.HTTPReply) error {
	status := int(reply.Status)
	if status == 0 {
		status = http.StatusOK
	}
	if status < 200 || status > 599 || status/100 == 3 {
		return &fault.Error{Kind: fault.Internal, Side: fault.Guest, Op: "api.receive", Msg: "the integration answers a webhook with a status that is not 2xx, 4xx or 5xx"}
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/plain; charset=utf-8")
	for name, value := range reply.Headers {
		name = http.CanonicalHeaderKey(name)
		if replyHeader(name) && h.Get(name) == "" || name == echo.HeaderContentType {
			h.Set(name, value)
		}
	}
	body := reply.Bytes
	if body == nil {
		body = []byte(reply.Text)
	}
	c.Response().WriteHeader(status)
	_, err := c.Response().Write(body)
	return err
}

// replyHeader reports whether a guest may set a header: those of its own, such as X-Hook-Secret, and Retry-After. Not those that
// tell a proxy in front of the host to answer with something else.
func replyHeader(name string) bool {
	for _, proxy := range []string{"X-Accel-", "X-Sendfile", "X-Lighttpd-", "X-Reproxy-"} {
		if strings.HasPrefix(name, proxy) {
			return false
		}
	}
	return strings.HasPrefix(name, "X-") || name == echo.HeaderRetryAfter
}
