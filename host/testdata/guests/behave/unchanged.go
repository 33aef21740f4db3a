//go:build !frigg_changed

package behave

const changed = false
