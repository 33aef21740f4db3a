//go:build linux || darwin

// Package lab runs real third-party servers on loopback for the end-to-end tests: Gitea, stripe-mock and oidc-provider.
//
// Install gets each server once, at one exact version, into a cache outside the checkout. The Start functions run one
// server per call on free ports of 127.0.0.1 in a directory of its own, wait until it answers, and stop it with all its
// children when the test ends.
//
// It must not know frigg-host: a lab that shares code with what it judges would share its mistakes too.
// Everything here is safe for concurrent use; two processes may install at the same time.
package lab
