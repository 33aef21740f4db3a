//go:build race

package guest

// underRace: the race detector also watches wazero's compiler, which then takes minutes for large modules.
const underRace = true
