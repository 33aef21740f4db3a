// Package connection keeps what opens accounts at vendors: credentials, the entities that they open, the ways in which a
// person authorises one, renewal, tests and revocation. It puts the credential on every request, and it is the only room that
// sees a vendor's secret in clear.
//
// It does not know integrations, SQL, the web framework or the engine: guests run through plugin.Caller, requests leave through
// the requester, rows are kept by a Store. What a guest gets is free of secrets; where it must name one, it has a handle.
//
// Every method names the Owner, and a foreign id is not found. No guest and no socket runs inside a transaction. Everything
// here is safe for concurrent use.
package connection
