package main

import (
	"encoding/xml"
	"strings"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/module"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/rest"
)

const (
	namespaces = `xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"`
	xmlType    = "application/xml; charset=utf-8"
)

// resource is one response of a multistatus answer (RFC 4918 section 13).
type resource struct {
	Href  string     `xml:"DAV: href"`
	Stats []propstat `xml:"DAV: propstat"`
}

type propstat struct {
	Status string     `xml:"DAV: status"`
	Prop   properties `xml:"DAV: prop"`
}

type href struct {
	Href string `xml:"DAV: href"`
}

type properties struct {
	Name      string `xml:"DAV: displayname"`
	ETag      string `xml:"DAV: getetag"`
	Principal href   `xml:"DAV: current-user-principal"`
	Home      href   `xml:"urn:ietf:params:xml:ns:caldav calendar-home-set"`
	Data      string `xml:"urn:ietf:params:xml:ns:caldav calendar-data"`
	Type      struct {
		Calendar *struct{} `xml:"urn:ietf:params:xml:ns:caldav calendar"`
	} `xml:"DAV: resourcetype"`
	Components []struct {
		Name string `xml:"name,attr"`
	} `xml:"urn:ietf:params:xml:ns:caldav supported-calendar-component-set>comp"`
}

// takes reports whether a calendar holds a kind of component. One that does not say holds all (RFC 4791 section 5.2.3).
func (p properties) takes(component string) bool {
	for _, c := range p.Components {
		if strings.EqualFold(c.Name, component) {
			return true
		}
	}
	return len(p.Components) == 0
}

// prop returns the properties that the server found.
func (r resource) prop() properties {
	for _, s := range r.Stats {
		if strings.Contains(s.Status, " 200") {
			return s.Prop
		}
	}
	return properties{}
}

func propfind(c *module.Call, path, depth, props string) ([]resource, error) {
	return ask(c, "PROPFIND", path, depth, "<D:propfind "+namespaces+"><D:prop>"+props+"</D:prop></D:propfind>")
}

// report asks for the to-dos of a calendar (RFC 4791 section 7.8).
func report(c *module.Call, calendar string) ([]resource, error) {
	return ask(c, "REPORT", calendar, "1", "<C:calendar-query "+namespaces+"><D:prop><D:getetag/><C:calendar-data/></D:prop>"+
		`<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VTODO"/></C:comp-filter></C:filter></C:calendar-query>`)
}

func ask(c *module.Call, method, path, depth, body string) ([]resource, error) {
	res, err := c.HTTP().Send(rest.Request{
		Method: method, URL: absolute(c, path), Header: map[string]string{"Depth": depth},
		Body: rest.Text{ContentType: xmlType, Text: xml.Header + body},
	})
	if err != nil {
		return nil, err
	}
	var answer struct {
		XMLName   xml.Name   `xml:"DAV: multistatus"`
		Resources []resource `xml:"DAV: response"`
	}
	if err := xml.Unmarshal(res.Body, &answer); err != nil {
		return nil, frigg.Invalid("what is at %s does not speak WebDAV; check the address", path)
	}
	return answer.Resources, nil
}

func newCalendar(name string) rest.Text {
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(name)) // a builder takes everything
	return rest.Text{ContentType: xmlType, Text: xml.Header + "<C:mkcalendar " + namespaces + "><D:set><D:prop><D:displayname>" + escaped.String() +
		`</D:displayname><C:supported-calendar-component-set><C:comp name="VTODO"/></C:supported-calendar-component-set></D:prop></D:set></C:mkcalendar>`}
}
