package rewrite

import (
	"fmt"
	"strings"
	"testing"
)

// TestPieces_AreOneInstruction: whatever is filled or copied, and also when it does not fit.
func TestPieces_AreOneInstruction(t *testing.T) {
	t.Parallel()
	const end = 20 * pageSize
	original := read(t, "testdata/bulk.wasm")
	rewritten, err := Rewrite(original, Options{Fuel: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 3*chunk + 7, end, huge} {
		for _, args := range [][]uint64{
			{0, 0x1ab, n},
			{3, 0, n},
			{3, 10, n},
			{10, 3, n},
			{0, chunk, n},
			{chunk, 0, n},
			{chunk + 1, chunk, n},
			{end - n, 5, n},
			{5, end - n, n},
			{end - n + 1, 0, n},
			{0, end - n + 1, n},
			{huge, 0, n},
			{0, huge, n},
		} {
			for _, export := range []string{"fill", "copy"} {
				t.Run(fmt.Sprint(export, args), func(t *testing.T) {
					t.Parallel()
					r := run{calls: []string{"prepare", export}, args: []uint64{args[0] & huge, args[1] & huge, n}, most: 1 << 30, memory: end}
					want, err := r.start(t, original)
					if err != nil {
						t.Fatal(err)
					}
					r.module = rewritten
					for _, r.interpret = range []bool{false, true} {
						got, err := r.start(t, nil)
						if err != nil || !got.equal(want) {
							t.Errorf("interpreted %v: %v, %v, want %v", r.interpret, got, err, want)
						}
					}
				})
			}
		}
	}
}

// TestPieces_Yield: each piece comes back to the host, and pays as much as all of it would.
func TestPieces_Yield(t *testing.T) {
	t.Parallel()
	m, err := Rewrite(read(t, "testdata/bulk.wasm"), Options{Fuel: chunk >> bulkShift})
	if err != nil {
		t.Fatal(err)
	}
	for export, args := range map[string][]uint64{"fill": {0, 1, 4*chunk + 64}, "copy": {0, 1, 4*chunk + 64}} {
		o, err := run{module: m, calls: []string{export}, args: args, most: 1 << 30, memory: 20 * pageSize}.start(t, nil)
		if units := uint64(4*chunk+64) >> bulkShift; err != nil || o.Err != "" || o.used != units {
			t.Errorf("%s: want %d units, got %d, %q, %v", export, units, o.used, o.Err, err)
		}
		o, _ = run{module: m, calls: []string{export}, args: args, most: 2, memory: 20 * pageSize}.start(t, nil)
		if !strings.Contains(o.Err, errStopped.Error()) || export == "fill" && len(o.Memory) != 2*chunk {
			t.Errorf("%s: want it stopped after two pieces, got %q with %d bytes", export, o.Err, len(o.Memory))
		}
	}
}
