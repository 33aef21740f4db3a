package integration_test

import (
	"fmt"

	"github.com/frigg-host/frigg-host/plugins/sdk/go/frigg"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/friggtest"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/integration"
)

type contact struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type newTask struct {
	Title string `json:"title"`
}

type task struct {
	ID string `json:"id"`
}

const createTask frigg.Method[newTask, task] = "create_task"

func init() {
	integration.OnWebhook("crm", "contact.created", welcome)
}

// welcome creates a task for a contact, once: the mapping says what was done.
func welcome(c *integration.Call, w integration.Webhook[contact]) error {
	welcomed := integration.Map[string](c, "welcomed")
	if _, found, err := welcomed.Get(w.Body.ID); err != nil || found {
		return err
	}
	t, err := integration.CallModule(c, "crm", createTask, newTask{Title: "Welcome " + w.Body.Name})
	if err != nil {
		return err
	}
	return welcomed.Put(w.Body.ID, t.ID)
}

// A webhook becomes a task, and the same webhook again becomes nothing.
func Example() {
	f := friggtest.NewIntegration(nil, struct{}{})
	friggtest.OnModule(f, "crm", createTask, func(in newTask) (task, error) {
		fmt.Println("task:", in.Title)
		return task{ID: "task_1"}, nil
	})
	fmt.Println(f.Webhook("crm", "contact.created", "msg_1", contact{"con_1", "Ada"}))
	fmt.Println(f.Webhook("crm", "contact.created", "msg_2", contact{"con_1", "Ada"}))
	// Output:
	// task: Welcome Ada
	// <nil>
	// <nil>
}
