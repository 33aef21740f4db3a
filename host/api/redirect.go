package api

import (
	_ "embed"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/labstack/echo/v4"
)

//go:embed redirect.html
var redirectPage []byte

// redirects serves where vendors send people back to: a plain handler, since it answers no JSON.
func (a *API) redirects() {
	a.echo.GET("/redirect/:appId", a.redirect)
	a.document.AddOperation(&huma.Operation{
		OperationID: "redirect", Method: http.MethodGet, Path: "/redirect/{appId}", Tags: []string{tagConnections},
		Summary: "Come back from a vendor", Description: "Sends a person who agreed at a vendor on to the application, with the query kept. The application posts the query as data to /api/authorize.",
		Parameters: []*huma.Param{{Name: "appId", In: "path", Required: true, Description: "Whatever the redirect URI has there; the name of the API module.", Schema: &huma.Schema{Type: huma.TypeString}}},
		Responses: map[string]*huma.Response{
			"302": {Description: "To the same path of the application."},
			"200": {Description: "A page that says what to do: the host was started without the address of an application."},
		},
	})
}

// redirect passes a callback on. The query holds a code, so it is neither shown nor logged, and no page may refer to it.
func (a *API) redirect(c echo.Context) error {
	app, err := url.PathUnescape(c.Param("appId"))
	if err != nil || app == "." || app == ".." {
		return fault.New(fault.NotFound, "api.redirect", "no such application")
	}
	if a.FrontendURL == "" {
		return c.HTMLBlob(http.StatusOK, redirectPage)
	}
	target := a.FrontendURL + "/redirect/" + url.PathEscape(app)
	if query := c.Request().URL.RawQuery; query != "" {
		target += "?" + query
	}
	return c.Redirect(http.StatusFound, target)
}
