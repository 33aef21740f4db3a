package abi

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Cron is a cron expression: which values of each field it takes, as bits by value. A day counts if both Days and Weekdays
// take it or, when both fields are restricted, either (POSIX crontab).
type Cron struct {
	Minutes, Hours, Days, Months uint64
	// Weekdays has Sunday as 0.
	Weekdays uint64
	// EitherDay says that both fields of the day are restricted: neither begins with a star.
	EitherDay bool
}

const maxCron = 256 // bytes of an expression

// cronField is one of the five fields. A name stands for low and its index.
type cronField struct {
	name     string
	low, top int
	names    []string
}

// cronFields in their order; day of week counts Sunday as 0 and as 7.
var cronFields = [5]cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of month", 1, 31, nil},
	{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
	{"day of week", 0, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
}

var cronMacros = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// ParseCron reads five fields (minute, hour, day of month, month, day of week) or a macro such as @daily. A field is a list
// of *, numbers, names and ranges, each with a step if need be. The error says what is wrong and what to write.
func ParseCron(text string) (Cron, error) {
	if len(text) > maxCron {
		return Cron{}, fmt.Errorf("has %d bytes, at most %d are allowed", len(text), maxCron)
	}
	if macro, ok := cronMacros[text]; ok {
		text = macro
	}
	fields := strings.Fields(text)
	if len(fields) != len(cronFields) {
		return Cron{}, fmt.Errorf("%q must have five fields: minute, hour, day of month, month, day of week", clip(text))
	}
	var set [5]uint64
	for i, f := range cronFields {
		var ok bool
		if set[i], ok = f.parse(fields[i]); !ok {
			return Cron{}, fmt.Errorf("%s %q must be *, a number from %d to %d, a range 1-5, a step */5, or a list of these", f.name, clip(fields[i]), f.low, f.top)
		}
	}
	c := Cron{
		Minutes: set[0], Hours: set[1], Days: set[2], Months: set[3], Weekdays: set[4]&0x7f | set[4]>>7,
		EitherDay: fields[2][0] != '*' && fields[4][0] != '*',
	}
	if !c.EitherDay && !c.comes() {
		return Cron{}, fmt.Errorf("%q never comes: none of its months has such a day", clip(text))
	}
	return c, nil
}

// comes reports whether one of the months has one of the days.
func (c Cron) comes() bool {
	first := bits.TrailingZeros64(c.Days)
	for month, days := range [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31} {
		if c.Months>>(month+1)&1 == 1 && first <= days {
			return true
		}
	}
	return false
}

// parse returns the values of a field as bits.
func (f cronField) parse(text string) (set uint64, ok bool) {
	for item := range strings.SplitSeq(text, ",") {
		span, every, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			if step, ok = number(every); !ok || step < 1 || step > f.top {
				return 0, false
			}
		}
		from, to, ok := f.span(span, stepped)
		if !ok {
			return 0, false
		}
		for v := from; v <= to; v += step {
			set |= 1 << v
		}
	}
	return set, true
}

// span reads *, a value, or a range. A single value with a step goes on to the top.
func (f cronField) span(text string, stepped bool) (from, to int, ok bool) {
	if text == "*" {
		return f.low, f.top, true
	}
	first, last, ranged := strings.Cut(text, "-")
	if from, ok = f.value(first); !ok {
		return 0, 0, false
	}
	switch {
	case ranged:
		to, ok = f.value(last)
		return from, to, ok && from <= to
	case stepped:
		return from, f.top, true
	}
	return from, from, true
}

func (f cronField) value(text string) (int, bool) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.low + i, true
		}
	}
	n, ok := number(text)
	return n, ok && n >= f.low && n <= f.top
}

func number(text string) (int, bool) {
	if len(text) > 2 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
