package wire

import "encoding/json"

// A guest is set up once, and every call starts from how it was then. So what is found out while handlers register is known to
// all calls, and what is found out in a call is forgotten.

// Prepare lets encoding/json find out what T looks like. It runs no code of T.
func Prepare[T any]() {
	_, _ = json.Marshal((*T)(nil)) // the encoder of all that a *T leads to is made before it looks at the value
}
