package demo

import (
	"strconv"
	"time"
)

type taskInput struct {
	Title     string    `json:"title"`
	ContactID contactID `json:"contact_id"`
	DealID    dealID    `json:"deal_id"`
	DueOn     string    `json:"due_on"` // YYYY-MM-DD or empty
}

type task struct {
	ID taskID `json:"id"`
	taskInput
	Author      string     `json:"author"` // the client that wrote it
	Done        bool       `json:"done"`
	CompletedAt *time.Time `json:"completed_at"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
}

func (t task) stamp() stamp { return stamp{t.UpdatedAt, string(t.ID)} }

func (in taskInput) check(s *state) error {
	f := fields{}
	f.required("title", in.Title)
	f.line("title", in.Title, 200)
	f.contact(s, in.ContactID)
	_, known := s.Deals[in.DealID]
	f.require("deal_id", known || in.DealID == "", "no such deal")
	_, err := time.Parse(time.DateOnly, in.DueOn)
	f.require("due_on", err == nil || in.DueOn == "", "must be a day such as 2030-01-31")
	return f.err()
}

func (c *CRM) listTasks(r *request) (reply, error) {
	only := r.URL.Query().Get("done")
	var rows []task
	c.store.view(func(s *state) {
		for _, row := range s.Tasks {
			if only == "" || only == strconv.FormatBool(row.Done) {
				rows = append(rows, row)
			}
		}
	})
	return page(r, rows)
}

func (c *CRM) createTask(r *request) (reply, error) {
	return c.create(r, func(a *act) (any, error) {
		in, err := merge(taskInput{}, r.body)
		if err != nil {
			return nil, err
		}
		if err := in.check(a.state); err != nil {
			return nil, err
		}
		now := a.tick()
		row := task{ID: taskID(a.id("task_")), taskInput: in, Author: a.actor, CreatedAt: now, UpdatedAt: now}
		return row, put(a.Tasks, row.ID, row)
	})
}

// completeTask may be repeated: a task is completed once.
func (c *CRM) completeTask(r *request) (reply, error) {
	var row task
	err := c.change(r.token.Client, func(a *act) error {
		var ok bool
		if row, ok = a.Tasks[taskID(r.PathValue("id"))]; !ok {
			return notFound("task")
		}
		if row.Done {
			return nil
		}
		at := a.tick()
		row.Done, row.CompletedAt, row.UpdatedAt = true, &at, at
		a.Tasks[row.ID] = row
		return nil
	})
	return reply{body: row}, err
}
