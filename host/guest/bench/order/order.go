// Package order is what the JSON rows read and write: a typed document of about 1 KiB. The host's own function, the gRPC
// plugin and the Go guests share it, so that all of them do the same work.
package order

import "encoding/json"

// Order is a shop's order.
type Order struct {
	ID       string            `json:"id"`
	Number   int               `json:"number"`
	Paid     bool              `json:"paid"`
	Currency string            `json:"currency"`
	Total    float64           `json:"total"`
	Customer Customer          `json:"customer"`
	Lines    []Line            `json:"lines"`
	Labels   map[string]string `json:"labels"`
	Note     string            `json:"note,omitempty"`
}

// Customer of an order.
type Customer struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Email   string   `json:"email"`
	Address []string `json:"address"`
}

// Line of an order.
type Line struct {
	SKU      string  `json:"sku"`
	Title    string  `json:"title"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}

// Double reads an order, doubles what is in it, and writes it.
func Double(document []byte) ([]byte, error) {
	var o Order
	if err := json.Unmarshal(document, &o); err != nil {
		return nil, err
	}
	o.double()
	return json.Marshal(o)
}

// Twice is the order with everything doubled, for guests that decode by themselves.
func (o Order) Twice() Order {
	o.double()
	return o
}

func (o *Order) double() {
	o.Total *= 2
	for i := range o.Lines {
		o.Lines[i].Quantity *= 2
	}
}

// Example is an order whose document has 1 KiB.
func Example() []byte {
	o := Order{
		ID: "ord_0192f0c4b7", Number: 48213, Paid: true, Currency: "EUR", Total: 417.35,
		Customer: Customer{
			ID: "cus_71ab", Name: "Zoë Lindqvist", Email: "zoe@example.com",
			Address: []string{"Västra Hamngatan 12", "411 17 Göteborg", "Sweden"},
		},
		Labels: map[string]string{"channel": "web", "campaign": "autumn", "warehouse": "got-2"},
	}
	for _, title := range []string{"Enamel mug, 3 dl", "Wool blanket, grey", "Oak cutting board", "Candle, pine and \"smoke\"", "Linen towel, pair", "Tin lantern"} {
		o.Lines = append(o.Lines, Line{SKU: "sku-" + title[:4], Title: title, Quantity: len(title) % 4, Price: float64(len(title)) * 1.25})
	}
	document, _ := json.Marshal(o) // plain data always marshals
	for len(document) < 1<<10 {
		o.Note += "x"
		document, _ = json.Marshal(o)
	}
	return document
}
