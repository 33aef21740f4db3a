package demo

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultLimit = 25
	maxLimit     = 100
)

// stamp is a place in a list: lists go from the longest unchanged row to the one changed last. A row that changes while
// somebody pages moves to the end and is seen again, never missed.
type stamp struct {
	at time.Time
	id string
}

func (s stamp) compare(o stamp) int { return cmp.Or(s.at.Compare(o.at), cmp.Compare(s.id, o.id)) }

func (s stamp) cursor() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s", s.at.UnixMicro(), s.id))
}

func parseCursor(cursor string) (stamp, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	micros, id, found := strings.Cut(string(raw), ".")
	at, numErr := strconv.ParseInt(micros, 10, 64)
	return stamp{time.UnixMicro(at), id}, err == nil && found && numErr == nil
}

type stamped interface{ stamp() stamp }

// page answers one page of rows, in any order on entry, as {data, next_cursor} and a Link header (RFC 8288).
// It reads limit, cursor and updated_since (RFC 3339, inclusive).
func page[T stamped](r *request, rows []T) (reply, error) {
	q, err := parsePage(r.URL.Query())
	if err != nil {
		return reply{}, err
	}
	rows = slices.DeleteFunc(rows, func(row T) bool {
		return row.stamp().at.Before(q.since) || q.after != nil && row.stamp().compare(*q.after) <= 0
	})
	slices.SortFunc(rows, func(a, b T) int { return a.stamp().compare(b.stamp()) })
	out := reply{header: map[string]string{}}
	next := ""
	if len(rows) > q.limit {
		rows = rows[:q.limit]
		next = rows[q.limit-1].stamp().cursor()
		out.header["Link"] = fmt.Sprintf("<%s>; rel=%q", r.nextURL(next), "next")
	}
	out.body = struct {
		Data []T    `json:"data"`
		Next string `json:"next_cursor"`
	}{append([]T{}, rows...), next}
	return out, nil
}

type pageQuery struct {
	limit int
	after *stamp
	since time.Time
}

func parsePage(v url.Values) (pageQuery, error) {
	q := pageQuery{limit: defaultLimit}
	var err error
	if s := v.Get("limit"); s != "" {
		if q.limit, err = strconv.Atoi(s); err != nil || q.limit < 1 || q.limit > maxLimit {
			return q, badQuery("limit must be a number from 1 to 100")
		}
	}
	if s := v.Get("cursor"); s != "" {
		after, ok := parseCursor(s)
		if !ok {
			return q, badQuery("cursor is not one that this server gave")
		}
		q.after = &after
	}
	if s := v.Get("updated_since"); s != "" {
		if q.since, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return q, badQuery("updated_since must be a time such as 2030-01-31T12:00:00Z")
		}
	}
	return q, nil
}

func badQuery(message string) error {
	return &problem{status: 400, Code: "invalid_query", Message: message}
}
