// Package account keeps users, individuals and organisations, and the tokens with which they call us.
//
// It says who is calling (Actor) and in whose name (Owner). It does not know integrations, plugins or HTTP, and its tokens
// are never those of a vendor. Everything here is safe for concurrent use.
package account
