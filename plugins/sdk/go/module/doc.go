// Package module writes API modules: plugins that know one external service, how to authenticate there and how to call it.
//
// What a module is and asks for stands in its manifest. Its program registers what cannot be said as data, mostly methods,
// from init functions:
//
//	func init() {
//		module.Method("create_issue", createIssue)
//	}
//
//	func createIssue(c *module.Call, in NewIssue) (Issue, error) {
//		return module.Post[Issue](c, module.Path("/api/v1/repos/%s/%s/issues", in.Owner, in.Repo), in)
//	}
//
//	func main() {}
//
// The handler knows no address and no credential: the host adds both, for the account that the call is about. Every call
// starts from the same clean state; keep what must last with Call.Storage.
//
// Registering is for init functions. A Call is safe for concurrent use until its handler returns.
package module
