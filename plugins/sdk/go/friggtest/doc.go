//go:build !wasip1

// Package friggtest plays the host in plain Go tests of a plugin, without wasm and without a network.
//
// A test makes a Module or an Integration, says how the other side behaves, and calls what the host would call. Everything
// goes through the same JSON messages and the same entry points as in production. A guest can be killed at any host function
// (Host.KillBefore, Host.KillAfter), which is how to test that nothing is done twice:
//
//	func TestIssueIsOpenedOnce(t *testing.T) {
//		f := friggtest.NewIntegration(t, Config{Repository: "lab/crm"})
//		friggtest.OnModule(f, "gitea", gitea.CreateIssue, func(in gitea.NewIssue) (gitea.Issue, error) { ... })
//		f.KillAfter("module.call")
//		err := f.Webhook("stripe", "customer.created", "evt_1", customer) // friggtest.ErrKilled
//		err = f.Retry()
//		...
//	}
//
// CheckManifest compares the manifest with the handlers. One goroutine uses a Host at a time; tests with a Host of their own
// run in parallel.
package friggtest
