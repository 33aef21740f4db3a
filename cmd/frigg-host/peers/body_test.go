//go:build peers && linux && amd64

package peers

// What is posted: a small webhook, and an order of 1 KiB.
const (
	small = `{"id":"evt_01J8ZC3Q","type":"order.paid","created":1764460800,"livemode":true,` +
		`"data":{"order":"ord_7781","total_cents":12990,"currency":"EUR","customer":{"id":"cus_42","email":"ada@example.com"}},` +
		`"tags":["b2c","express","gift"],"note":null}`
	large = `{"id":"evt_01J8ZC3Q","type":"order.paid","created":1764460800,"livemode":true,"note":null,"tags":["b2c","express","gift"],` +
		`"customer":{"id":"cus_42","name":"Ada Lovelace","email":"ada@example.com","phone":"+49 30 1234567","vat":"DE123456789",` +
		`"address":{"street":"Torstraße 1","zip":"10119","city":"Berlin","country":"DE"}},` +
		`"lines":[` +
		`{"sku":"BOOK-0001","title":"Notes on the Analytical Engine","quantity":1,"unit_cents":3490,"tax":0.07,"weight_g":420},` +
		`{"sku":"CARD-0815","title":"Punched cards, pack of 100","quantity":3,"unit_cents":1250,"tax":0.19,"weight_g":310},` +
		`{"sku":"GEAR-4711","title":"Brass gear wheel, 60 teeth","quantity":2,"unit_cents":2875,"tax":0.19,"weight_g":95},` +
		`{"sku":"LAMP-0042","title":"Desk lamp \"Babbage\"","quantity":1,"unit_cents":8999,"tax":0.19,"weight_g":1900}],` +
		`"totals":{"net_cents":18712,"tax_cents":3277,"shipping_cents":490,"discount_cents":0,"gross_cents":22479,"currency":"EUR"},` +
		`"shipping":{"carrier":"Radpost","service":"express","tracking":"RP-2025-11-000042","pickup":null,"signed":true}}`
)
