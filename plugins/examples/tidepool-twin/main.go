// Command tidepool-twin is an integration for the demo vendor: it keeps the contacts of two accounts in step. It says how a page
// of contacts is read and how one is written; the host does the rest.
package main

import (
	"time"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/examples/tidepool/tidepoolapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

const contacts = "contacts" // as declared in the manifest

// roles of the sides.
var roles = map[abi.SyncSide]string{abi.SyncSideSource: "left", abi.SyncSideTarget: "right"}

// fields are what is kept in step.
type fields = tidepoolapi.ContactFields

func init() {
	integration.Sync(contacts, fetch, write)
	integration.OnCreate(func(c *integration.Call) error {
		_, err := c.StartSync(contacts)
		return err
	})
	integration.Action("SYNC_NOW", syncNow)
}

// fetch reads contacts, longest unchanged first: the time of the last one is where a later run goes on.
func fetch(c *integration.Call, q integration.PageQuery) (integration.Page[fields], error) {
	rows, err := integration.CallModule(c, roles[q.Side], tidepoolapi.ListContacts, tidepoolapi.ListArgs{
		Limit: min(q.Limit, 100), Cursor: q.Cursor, UpdatedSince: q.Watermark,
	})
	page := integration.Page[fields]{Next: rows.Next}
	for _, row := range rows.Items {
		page.Records = append(page.Records, integration.SyncRecord[fields]{ID: row.ID, Data: fieldsOf(row)})
		page.Watermark = row.UpdatedAt.Format(time.RFC3339Nano)
	}
	return page, err
}

func write(c *integration.Call, w integration.RecordWrite[fields]) (integration.Written[fields], error) {
	var row tidepoolapi.Contact
	var err error
	switch w.Op {
	case abi.WriteOpCreate:
		row, err = integration.CallModule(c, roles[w.Side], tidepoolapi.CreateContact, tidepoolapi.NewContact{ContactFields: w.Data, Key: w.Key})
	case abi.WriteOpUpdate:
		row, err = integration.CallModule(c, roles[w.Side], tidepoolapi.UpdateContact, tidepoolapi.ContactChange{ID: w.TargetID, ContactFields: w.Data})
	default:
		return integration.Written[fields]{Skipped: true}, nil
	}
	kept := fieldsOf(row)
	return integration.Written[fields]{TargetID: row.ID, Data: &kept}, err
}

func fieldsOf(row tidepoolapi.Contact) fields {
	return fields{Name: row.Name, Email: row.Email, Company: row.Company, Phone: row.Phone}
}

// started is what a person reads after the action.
type started struct {
	Message string `json:"message"`
	Process string `json:"process"`
}

func syncNow(c *integration.Call, _ frigg.None) (started, error) {
	process, err := c.StartSync(contacts)
	return started{"Looking for changes in both accounts.", process}, err
}

func main() {}
