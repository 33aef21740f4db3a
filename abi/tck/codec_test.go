package tck

import (
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/frigg-host/frigg-host/abi"
)

// What the codec takes apart itself is what the vectors say; the rest it leaves to another reader.
func TestAnswers_OfTheCodecPlayTheVectors(t *testing.T) {
	t.Parallel()
	var opened atomic.Int64
	t.Cleanup(func() {
		if n := opened.Load(); n < 10 {
			t.Errorf("only %d answers were opened", n)
		}
	})
	Answers(t, func(answer []byte) (json.RawMessage, *abi.Fault, error) {
		value, f, ok := abi.OpenAnswer(answer)
		if !ok {
			return open(answer)
		}
		opened.Add(1)
		return value, f, nil
	})
}
