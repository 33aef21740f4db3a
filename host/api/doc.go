// Package api is the management API over HTTP, in the shapes of Frigg's, so that clients written for Frigg work unchanged.
//
// A handler decodes a request, calls one use case and encodes what it answers; who may do what is decided in the rooms. Each
// operation is a Go function with a typed input and output, from which the OpenAPI document is generated. It knows echo,
// which no other room does, and knows neither SQL nor engines nor outgoing requests. Everything here is safe for concurrent
// use.
package api
