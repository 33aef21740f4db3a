package javascript

// For the tests of package javascript_test.
const (
	MaxMessage = maxMessage
	MaxStack   = maxStack
	RootBytes  = rootRuns
)

// Root is where Boot left what Call needs.
func (in *Instance) Root() uint32 { return in.root }
