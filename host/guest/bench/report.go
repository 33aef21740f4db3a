package main

import (
	"fmt"
	"io"
	"strings"
)

// writeLines writes one line per round and series in the format of Go's benchmarks, for benchstat.
func writeLines(w io.Writer, all []*series) {
	for _, s := range all {
		for _, ns := range s.ns {
			fmt.Fprintf(w, "BenchmarkCall/guest=%s/row=%s/by=%s %d %.5g ns/op %.0f B/op %.0f allocs/op\n", s.guest, s.row, s.column, s.calls, ns, s.bytes, s.allocs)
		}
	}
}

// writeTables writes for each guest what the others take, as a multiple of what this engine takes, and then the times.
func writeTables(w io.Writer, all []*series) {
	for _, guest := range distinct(all, func(s *series) string { return s.guest }) {
		of := func(row, column string) *series {
			for _, s := range all {
				if s.guest == guest && s.row == row && s.column == column {
					return s
				}
			}
			return nil
		}
		mine := func(s *series) bool { return s.guest == guest }
		rows := distinct(filter(all, mine), func(s *series) string { return s.row })
		names := distinct(filter(all, mine), func(s *series) string { return s.column })
		fmt.Fprintf(w, "\nGuest `%s`: how many times what this engine takes (below 1 is faster)\n\n", guest)
		writeTable(w, "call", names, rows, func(row, column string) string {
			return number(relation(of(row, column).ns, of(row, nameOurs).ns, ratio)) + "x"
		})
		fmt.Fprintf(w, "\nGuest `%s`: the same for CPU time; what another process does is not in it\n\n", guest)
		writeTable(w, "call", names, rows, func(row, column string) string {
			return number(relation(of(row, column).cpu, of(row, nameOurs).cpu, ratio)) + "x"
		})
		fmt.Fprintf(w, "\nGuest `%s`: microseconds, and allocations of the host\n\n", guest)
		writeTable(w, "call", names, rows, func(row, column string) string {
			s := of(row, column)
			return fmt.Sprintf("%s (%.0f)", number(median(s.ns)/1e3), s.allocs)
		})
		if of(rows[0], nameRaw) == nil {
			continue
		}
		fmt.Fprintf(w, "\nGuest `%s`: against unsafe pooled wazero\n\n", guest)
		writeTable(w, "call", []string{"ratio", "more, us", "ratio of CPU time", "more CPU time, us"}, rows, func(row, column string) string {
			ours, raw := of(row, nameOurs), of(row, nameRaw)
			switch column {
			case "ratio":
				return number(relation(ours.ns, raw.ns, ratio)) + "x"
			case "more, us":
				return number(relation(ours.ns, raw.ns, difference) / 1e3)
			case "ratio of CPU time":
				return number(relation(ours.cpu, raw.cpu, ratio)) + "x"
			}
			return number(relation(ours.cpu, raw.cpu, difference) / 1e3)
		})
	}
}

// writeTable writes a Markdown table.
func writeTable(w io.Writer, corner string, columns, rows []string, cell func(row, column string) string) {
	fmt.Fprintf(w, "| %s | %s |\n|---|%s\n", corner, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, r := range rows {
		fmt.Fprintf(w, "| %s |", r)
		for _, c := range columns {
			fmt.Fprintf(w, " %s |", cell(r, c))
		}
		fmt.Fprintln(w)
	}
}

// number writes three digits that count.
func number(v float64) string {
	if v >= 100 || v <= -100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func distinct(all []*series, key func(*series) string) (keys []string) {
	seen := map[string]bool{}
	for _, s := range all {
		if k := key(s); !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

func filter(all []*series, keep func(*series) bool) (kept []*series) {
	for _, s := range all {
		if keep(s) {
			kept = append(kept, s)
		}
	}
	return kept
}
