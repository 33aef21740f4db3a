package api

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/integration"
	"github.com/labstack/echo/v4"
)

// Routes that integrations declare stand beside echo's router: they come and go with plugins while the host runs, and an echo
// route for any path below /api would take the 405s of the management API's own paths away. They go through the same
// middleware, which is put together once.

const (
	routePrefix   = "/api/"
	webhooksBelow = "/webhooks"
)

// routeTarget splits the path of a request on an integration's route: the name of the integration, and the path below it,
// percent-encoded. What belongs to webhooks and to the management API is no such path.
func routeTarget(u *url.URL) (name, path string, ok bool) {
	if !strings.HasPrefix(u.Path, routePrefix) {
		return "", "", false
	}
	name, path = u.EscapedPath()[len(routePrefix):], "/"
	if i := strings.IndexByte(name, '/'); i >= 0 {
		name, path = name[:i], name[i:]
	}
	name, ok = strings.CutSuffix(name, integrationSuffix)
	if below, is := strings.CutPrefix(path, webhooksBelow); is && (below == "" || below[0] == '/') {
		return "", "", false
	}
	return name, path, ok && name != ""
}

// routes puts the middleware around the answer of routes, and describes them.
func (a *API) routes(middleware []echo.MiddlewareFunc) {
	a.route = a.answerRoute
	for i := len(middleware) - 1; i >= 0; i-- {
		a.route = middleware[i](a.route)
	}
	a.describeRoutes()
}

// serveRoute serves one request as echo would.
func (a *API) serveRoute(w http.ResponseWriter, r *http.Request) {
	c := a.echo.AcquireContext()
	defer a.echo.ReleaseContext(c)
	c.Reset(r, w)
	c.SetPath("/api/:plugin/*")
	if err := a.route(c); err != nil {
		a.onError(err, c)
	}
}

// answerRoute finds the route, admits who calls, and lets the guest answer.
func (a *API) answerRoute(c echo.Context) error {
	r := c.Request()
	name, path, _ := routeTarget(r.URL)
	m, err := a.Integrations.FindRoute(name, r.Method, path)
	if err != nil {
		return err
	}
	if m.Route == nil {
		c.Response().Header().Set(echo.HeaderAllow, strings.Join(m.Allow, ", "))
		if r.Method == http.MethodOptions {
			return c.NoContent(http.StatusNoContent)
		}
		return echo.ErrMethodNotAllowed
	}
	c.SetPath(m.Route.Label)
	var by signedIn
	if m.Route.Auth != abi.RouteAuthNone {
		if err := by.admit(a, c); err != nil {
			return err
		}
		if id := m.ID(); m.Route.OfRecord() && !validID(reflect.TypeOf(id), string(id)) {
			return fault.New(fault.NotFound, "api.route", "no such integration")
		}
	}
	q := integration.RouteRequest{Method: r.Method, Path: path, Header: r.Header}
	if r.URL.RawQuery != "" {
		q.Query = r.URL.Query()
	}
	if q.Body, err = readRoute(c.Response().Writer, r); err != nil {
		return err
	}
	reply, err := a.Integrations.AnswerRoute(r.Context(), by.actor, m, q)
	if err != nil {
		return err
	}
	return writeRoute(c, m.Route, reply)
}

// firstRead bounds the memory that a request gets for what it only says that it will send.
const firstRead = 64 << 10

// readRoute returns the body as it came.
func readRoute(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if n := r.ContentLength; n < 0 || n > firstRead {
		return read(w, r, abi.LimitRouteRequestBytes)
	}
	body := bytes.NewBuffer(make([]byte, 0, r.ContentLength+bytes.MinRead)) // with room to find the end
	if _, err := io.Copy(body, r.Body); err != nil {
		return nil, refuse("the body did not arrive whole")
	}
	return body.Bytes(), nil
}

// writeRoute answers as the guest wants it, within bounds.
func writeRoute(c echo.Context, route *integration.Route, reply abi.HTTPReply) error {
	status := int(reply.Status)
	if status == 0 {
		status = http.StatusOK
	}
	if status < 200 || status > 599 || status/100 == 3 && status != http.StatusNotModified {
		return &fault.Error{Kind: fault.Internal, Side: fault.Guest, Op: "api.route", Msg: "guest " + route.Label + " answers with a status that is not 2xx, 304, 4xx or 5xx"}
	}
	w := c.Response()
	h := w.Header()
	h.Set(echo.HeaderContentType, "text/plain; charset=utf-8")
	for name, value := range reply.Headers {
		setRouteHeader(h, http.CanonicalHeaderKey(name), value, route.Auth == abi.RouteAuthNone)
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		h.Del(echo.HeaderContentType)
		w.WriteHeader(status)
		return nil
	}
	h.Set(echo.HeaderContentLength, strconv.Itoa(max(len(reply.Text), len(reply.Bytes))))
	w.WriteHeader(status)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	var err error
	if reply.Bytes != nil {
		_, err = w.Write(reply.Bytes)
	} else {
		_, err = io.WriteString(w.Writer, reply.Text)
	}
	return err
}

// setRouteHeader sets a header that a guest may set, unless the host has set it. What only its user may see is kept by
// nobody on the way, so only open routes may be cached.
func setRouteHeader(h http.Header, name, value string, open bool) {
	switch name {
	case echo.HeaderContentType:
		h.Set(name, value)
	case echo.HeaderVary:
		h.Add(name, value)
	case "Cache-Control", "Expires":
		if open {
			h.Set(name, value)
		}
	case "Content-Language", echo.HeaderContentDisposition, "Etag", echo.HeaderLastModified, "Link":
		h.Set(name, value)
	default:
		if replyHeader(name) && h.Get(name) == "" {
			h.Set(name, value)
		}
	}
}

// describeRoutes adds one operation that stands for all routes: which there are depends on the plugins.
func (a *API) describeRoutes() {
	text := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "path", Required: true, Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	a.document.AddOperation(&huma.Operation{
		OperationID: "callRoute", Method: http.MethodGet, Path: "/api/{name}-integration/{path}", Tags: []string{tagRoutes}, Summary: "Call a route of an integration",
		Description: "The manifest of an integration declares its routes: method, path, and who may call. GET stands here for every method. " +
			"Routes with `auth: user` ask for the token, and those with `integrationId` in the path work for that integration of the caller; it must not be paused. " +
			"HEAD is answered as GET without the body, OPTIONS with the methods that a path takes.",
		Parameters: []*huma.Param{text("name", "Name of an integration plugin."), text("path", "One or more segments, as the integration declares them.")},
		Security:   []map[string][]string{{}, {securityBearer: {}}, {securityBackend: {}}},
		Responses: map[string]*huma.Response{
			"200":     {Description: "As the integration answers.", Content: map[string]*huma.MediaType{"*/*": {}}},
			"401":     a.failure("The route asks who calls, and the token or key is missing, wrong or expired."),
			"404":     a.failure("There is no such integration, route or record."),
			"405":     a.failure("The path takes other methods; Allow names them."),
			"409":     a.failure("The record is paused or not ready."),
			"413":     a.failure("The body is larger than 1 MiB."),
			"429":     a.failure("Too many guests run at once."),
			"502":     a.failure("The integration failed."),
			"504":     a.failure("The integration did not answer in time."),
			"default": a.failure("Any other failure, as the integration tells it."),
		},
	})
}
