package guest

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNative(t *testing.T) { suite(t, OpenNative) }

func TestExtism(t *testing.T) { suite(t, OpenExtism) }
