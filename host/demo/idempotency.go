package demo

import (
	"encoding/json"
	"maps"
	"time"
)

const (
	answerTTL  = 24 * time.Hour
	maxAnswers = 2000
)

// pastAnswer is what a create said to an Idempotency-Key. It lands in the same commit as the row.
type pastAnswer struct {
	Request string    `json:"request"` // hash of the body
	Body    string    `json:"body"`
	At      time.Time `json:"at"`
}

// create runs insert once per Idempotency-Key, client and route, and answers 201. The same key and body get the same answer
// for 24 hours (fewer when 2000 younger ones came); another body is refused. Without a key every request inserts.
func (c *CRM) create(r *request, insert func(*act) (any, error)) (reply, error) {
	key := r.Header.Get("Idempotency-Key")
	if len(key) > 255 {
		return reply{}, &problem{status: 400, Code: "invalid_idempotency_key", Message: "An Idempotency-Key may have 255 bytes."}
	}
	out := reply{status: 201, header: map[string]string{}}
	err := c.change(r.token.Client, func(a *act) error {
		place := hash(r.token.Client + "\n" + r.URL.Path + "\n" + key)
		past, known := a.Answers[place]
		if key != "" && known && a.now.Sub(past.At) < answerTTL {
			out.body, out.header["Idempotent-Replayed"] = json.RawMessage(past.Body), "true"
			return past.matches(r.body)
		}
		row, err := insert(a)
		if err != nil {
			return err
		}
		body, err := json.Marshal(row)
		if err != nil {
			return err
		}
		out.body = json.RawMessage(body)
		if key != "" {
			a.forgetAnswers()
			a.Answers[place] = pastAnswer{Request: hash(string(r.body)), Body: string(body), At: a.now}
		}
		return nil
	})
	return out, err
}

func (p pastAnswer) matches(body []byte) error {
	if p.Request == hash(string(body)) {
		return nil
	}
	return &problem{status: 422, Code: "idempotency_key_reused", Message: "This Idempotency-Key came with another body before."}
}

// forgetAnswers makes room for one more.
func (a *act) forgetAnswers() {
	maps.DeleteFunc(a.Answers, func(_ string, p pastAnswer) bool { return a.now.Sub(p.At) >= answerTTL })
	dropOldest(a.Answers, maxAnswers-1, func(p pastAnswer) time.Time { return p.At })
}

// dropOldest shrinks m to limit entries.
func dropOldest[K comparable, V any](m map[K]V, limit int, at func(V) time.Time) {
	for len(m) > limit {
		var oldest K
		first := true
		for k, v := range m {
			if first || at(v).Before(at(m[oldest])) {
				oldest, first = k, false
			}
		}
		delete(m, oldest)
	}
}
