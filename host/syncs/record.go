package syncs

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// Bounds of what a plugin may give.
const (
	maxRecords   = 1000
	maxID        = 512
	maxData      = 64 << 10
	maxCursor    = 4096
	maxWatermark = 512
)

// Record is what is known of a record on one side.
type Record struct {
	Side        abi.SyncSide
	ID          string // the vendor's
	Counterpart string // its id on the other side; empty while there is none
	Hash        string // of its content as it was last seen or written
	Busy        bool   // a batch with it is not done yet
	Confirmed   bool   // what was written here was read back since
	Data        string // sealed, of a record that was put off
}

// hashes compares records of one sync without keeping them.
type hashes struct{ of func(text string) string }

// content is the hash of a record's data, whatever the order of its fields.
func (h hashes) content(data json.RawMessage) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", guestFault(fault.Invalid, "the data of a record is no JSON")
	}
	canonical, err := json.Marshal(v)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "syncs.hash", "a record cannot be hashed")
	}
	return h.of("data\x00" + string(canonical)), nil
}

// key is the hash of the fields by which a record is matched; empty if one of them is missing.
func (h hashes) key(fields []string, data json.RawMessage) string {
	var o map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if len(fields) == 0 || dec.Decode(&o) != nil {
		return ""
	}
	text := "key"
	for _, f := range fields {
		v := normal(o[f])
		if v == "" {
			return ""
		}
		text += "\x00" + v
	}
	return h.of(text)
}

// normal is a value without case and needless blanks; empty for what is no text or number.
func normal(v any) string {
	switch v := v.(type) {
	case string:
		return strings.ToLower(strings.Join(strings.Fields(v), " "))
	case json.Number:
		return v.String()
	}
	return ""
}

// place is where the content of a record that was put off is sealed.
func (r *Run) place(side abi.SyncSide, id string) secret.Place {
	return secret.Place{Table: "sync_records", Column: "data", Row: strings.Join([]string{string(r.Integration), r.Spec.Name, string(side), id}, "\x00")}
}

// checked are the records of a page as they count: within bounds, the last of each id.
func checked(out *abi.FetchPageOutput) ([]abi.SyncRecord, error) {
	switch {
	case len(out.Records) > maxRecords:
		return nil, guestFault(fault.TooLarge, "a page has %d records, at most %d are allowed", len(out.Records), maxRecords)
	case len(out.Cursor) > maxCursor:
		return nil, guestFault(fault.TooLarge, "the cursor has more than %d bytes", maxCursor)
	case len(out.Watermark) > maxWatermark:
		return nil, guestFault(fault.TooLarge, "the watermark has more than %d bytes", maxWatermark)
	}
	last := map[string]int{}
	for i, r := range out.Records {
		switch {
		case r.ExternalID == "" || len(r.ExternalID) > maxID || strings.Contains(r.ExternalID, "\x00"):
			return nil, guestFault(fault.Invalid, "the id of a record must have 1 to %d bytes", maxID)
		case !r.Deleted && len(r.Data) == 0:
			return nil, guestFault(fault.Invalid, "a record has no data")
		case len(r.Data) > maxData:
			return nil, guestFault(fault.TooLarge, "the data of a record has more than %d bytes", maxData)
		}
		last[r.ExternalID] = i
	}
	records := make([]abi.SyncRecord, 0, len(last))
	for i, r := range out.Records {
		if last[r.ExternalID] == i {
			records = append(records, r)
		}
	}
	return records, nil
}

func guestFault(kind fault.Kind, format string, args ...any) error {
	return fault.New(kind, "syncs.guest", format, args...).On(fault.Guest)
}
