package api

import "github.com/labstack/echo/v4"

// Routes lists what the router serves.
func (a *API) Routes() []*echo.Route { return a.echo.Routes() }
