//go:build frigg_changed

package behave

// changed makes a guest that sends its requests otherwise: an upgrade with a mistake in it.
const changed = true
