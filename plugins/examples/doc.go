// Package examples holds real plugins, one per folder: API modules (gitea, stripe, caldav, tidepool) and integrations between
// them (stripe-gitea, tidepool-welcome, tidepool-deals). Each folder is a program with its manifest beside it: in Go for
// GOOS=wasip1, or in TypeScript (tidepool-deals).
package examples
