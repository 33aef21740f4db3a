package store

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestSchedules_WhatTheLoopAsksIsFoundByIndex(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{DSN: filepath.Join(t.TempDir(), "frigg.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	now := time.Now()
	for name, test := range map[string]struct {
		text string
		args []any
		want []string
	}{
		"due":        {dueSchedules, []any{micros(&now), 64}, []string{"schedules_due (next_at<?)"}},
		"next":       {nextTick, nil, []string{"schedules_due (next_at>?)"}},
		"unfinished": {unfinishedTicks, []any{"tick|a|", "tick|a|~", 100}, []string{"jobs_unique (unique_key>? AND unique_key<?)"}},
		"unplanned": {
			unplannedRecords,
			[]any{"p", "x", 64},
			[]string{"integrations_plan (plugin=? AND schedules<?)", "integrations_plan (plugin=? AND schedules>?)"},
		},
	} {
		steps, err := Many(db.reader(t.Context()), func(row Row) (step string, err error) {
			var id, parent, unused int
			return step, row.Scan(&id, &parent, &unused, &step)
		}, "EXPLAIN QUERY PLAN "+test.text, test.args...)
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(steps, "\n")
		for _, want := range test.want {
			if !strings.Contains(plan, want) || regexp.MustCompile(`SCAN (schedules|jobs|integrations)|TEMP B-TREE`).MatchString(plan) {
				t.Errorf("%s: want %s:\n%s", name, want, plan)
			}
		}
	}
}
