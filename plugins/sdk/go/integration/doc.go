// Package integration writes integrations: plugins that say what happens between services.
//
// Which accounts take part, which webhooks come in and what people may start stands in the manifest. The program registers
// what is done then, from init functions:
//
//	func init() {
//		integration.OnCreate(onCreate)
//		integration.OnWebhook("stripe", "customer.created", onCustomer)
//		integration.Action("SYNC_NOW", syncNow)
//	}
//
//	func onCustomer(c *integration.Call, w integration.Webhook[CustomerEvent]) error {
//		_, err := integration.CallModule(c, "gitea", gitea.CreateIssue, gitea.NewIssue{Title: w.Body.Name})
//		return err
//	}
//
//	func main() {}
//
// Events are worked off as durable jobs, one at a time per integration record, and may come again: after a failure that can
// pass the host tries again, and a vendor may deliver twice. Mapping.Claim and Links say what was done already. Every call
// starts from the same clean state.
//
// Registering is for init functions. A Call is safe for concurrent use until its handler returns, except that SetStatus,
// UpdateConfig and the messages renew Call.Integration.
package integration
