package frigg

// Method is the name of a module's method together with the types of its arguments and its result. Declare it once, where
// both the module and the integrations that call it can see it, and the compiler checks both sides:
//
//	const CreateIssue frigg.Method[NewIssue, Issue] = "create_issue"
//
// An untyped string constant may stand in for one wherever the types are clear without it.
type Method[In, Out any] string

// Handle stands for a secret that a plugin may pass on and never read: the host puts the secret in its place when the
// request leaves, and only towards the hosts of the connection.
type Handle string

// None is the argument or result of what takes or gives nothing.
type None struct{}
