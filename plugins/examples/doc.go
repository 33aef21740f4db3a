// Package examples holds real plugins, one per folder: API modules (gitea, stripe, caldav, tidepool) and integrations between
// them (stripe-gitea, tidepool-welcome). Each folder is a program for GOOS=wasip1 with its manifest beside it.
package examples
