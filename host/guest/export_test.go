package guest

// What the tests of engines outside of this package need.

// Suite holds every check against the engine that open opens.
var Suite = suite

// UnderRace tells whether the race detector watches.
const UnderRace = underRace
