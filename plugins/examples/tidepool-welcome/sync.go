package main

import (
	"github.com/frigg-host/frigg-host/plugins/examples/tidepool/tidepoolapi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

// said is what a person reads after an action.
type said struct {
	Message string `json:"message"`
}

func syncNow(c *integration.Call, _ frigg.None) (said, error) {
	return said{"Going through all contacts; tasks appear as they are created."},
		integration.Enqueue(c, syncPage, "", integration.UniqueKey("sync"))
}

func onSyncPage(c *integration.Call, cursor string) error {
	page, err := integration.CallModule(c, crm, tidepoolapi.ListContacts, tidepoolapi.ListArgs{Limit: 20, Cursor: cursor})
	if err != nil {
		return err
	}
	for _, contact := range page.Items {
		if err := welcome(c, contact); err != nil {
			return err
		}
	}
	if page.Next == "" {
		return nil
	}
	return integration.Enqueue(c, syncPage, page.Next)
}

// row is a contact as people see it.
type row struct {
	Name    string `json:"name"`
	Company string `json:"company"`
	Email   string `json:"email"`
	Task    string `json:"welcome_task"`
}

func sampleData(c *integration.Call, _ frigg.None) ([]row, error) {
	page, err := integration.CallModule(c, crm, tidepoolapi.ListContacts, tidepoolapi.ListArgs{Limit: 25})
	rows := []row{}
	for _, contact := range page.Items {
		task, _, err := welcomes(c).Get(contact.ID)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{contact.Name, contact.Company, contact.Email, task.ID})
	}
	return rows, err
}
