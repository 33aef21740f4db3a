package demo

import "time"

// seed fills a new account; its rows look as if they had come in over the last weeks.
func seed(s *state, ids *ids, now time.Time) {
	a := &act{state: s, ids: ids, now: now}
	s.Account = account{ID: accountID(a.id("acc_")), Name: "Harbour & Sons"}
	people := []contactInput{
		{"Amara Okafor", "amara.okafor@example.com", "Brightwater Ferries", "+44 20 7946 0101"},
		{"Jonas Lindqvist", "jonas.lindqvist@example.com", "Nordkap Logistik", "+46 8 5550 0142"},
		{"Mei-Ling Zhou", "meiling.zhou@example.com", "Paper Crane Studio", "+1 555 0117"},
		{"Rafael Ortega", "rafael.ortega@example.com", "Ortega Citrus", "+34 910 55 01 23"},
		{"Siobhán Walsh", "siobhan.walsh@example.com", "Peat & Pebble", "+353 20 912 0134"},
		{"Tomasz Zieliński", "tomasz.zielinski@example.com", "Kopernik Optics", "+48 22 555 01 45"},
		{"Priya Raman", "priya.raman@example.com", "Saffron Ledger", "+91 22 5550 0156"},
		{"Clément Duval", "clement.duval@example.com", "Atelier Duval", "+33 1 55 50 01 67"},
		{"Hana Novotná", "hana.novotna@example.com", "Moravia Glass", "+420 255 500 178"},
		{"Samuel Achterberg", "samuel.achterberg@example.com", "Polder Pumps", "+31 20 555 0189"},
		{"Leilani Kealoha", "leilani.kealoha@example.com", "Reef Survey Group", "+1 555 0190"},
		{"Oluwaseun Bello", "oluwaseun.bello@example.com", "Lagos Solar Works", "+234 1 555 0101"},
	}
	known := make([]contactID, len(people))
	for i, in := range people {
		a.now = now.AddDate(0, 0, -40+3*i)
		at := a.tick()
		known[i] = contactID(a.id("con_"))
		s.Contacts[known[i]] = contact{ID: known[i], contactInput: in, CreatedAt: at, UpdatedAt: at}
	}
	for i, in := range []dealInput{
		{"Winter timetable system", known[0], 4_800_000, "GBP", stageQualified},
		{"Cold-chain tracking, 40 trucks", known[1], 7_250_000, "EUR", stageLead},
		{"Rebrand and web shop", known[2], 1_190_000, "USD", stageLead},
		{"Orchard sensors, phase two", known[3], 2_640_000, "EUR", stageQualified},
		{"Lens catalogue", known[5], 980_000, "EUR", stageWon},
		{"Invoice import", known[6], 1_525_000, "EUR", stageLead},
		{"Furnace monitoring", known[8], 3_300_000, "EUR", stageLost},
		{"Rooftop pilot in Ikeja", known[11], 5_600_000, "USD", stageQualified},
	} {
		a.now = now.AddDate(0, 0, -6).Add(time.Duration(i) * 17 * time.Hour)
		at := a.tick()
		id := dealID(a.id("deal_"))
		s.Deals[id] = deal{ID: id, dealInput: in, CreatedAt: at, UpdatedAt: at}
	}
}
