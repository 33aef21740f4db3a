package javascript

import (
	"testing"

	"github.com/frigg-host/frigg-host/host/guest/javascript/quickjs"
)

// FuzzSource: no module makes Source panic, and what it takes runs on the engine.
func FuzzSource(f *testing.F) {
	module, err := quickjs.New([]string{"frigg_a"}, "export const frigg_a = () => 1").Module()
	if err != nil {
		f.Fatal(err)
	}
	head := len(module) - len(Engine()) + 8
	f.Add(module[:head], true)
	f.Add(module[:head], false)
	f.Add(Engine()[:8], true)
	f.Fuzz(func(t *testing.T, head []byte, whole bool) {
		module := head
		if whole {
			module = append(append([]byte(nil), head...), Engine()[8:]...)
		}
		p, is, err := Source(module)
		if is && (err != nil || p == nil || !quickjs.Runs(module)) || !is && p != nil {
			t.Error(p, is, err)
		}
	})
}
