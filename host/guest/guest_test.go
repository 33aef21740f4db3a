package guest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

// TestMain looks for what the tests have left: goroutines, memories, images and files.
func TestMain(m *testing.M) {
	before := openFiles()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(cacheDir())
		if memories, images := snapshot.Live(); code == 0 && memories+images > 0 {
			fmt.Printf("%d memories and %d images were left\n", memories, images)
			code = 1
		}
		if after := openFiles(); code == 0 && after > before+1 { // the network poller's
			fmt.Printf("%d files are open, %d were before\n", after, before)
			code = 1
		}
		os.Exit(code)
	}))
}

// openFiles counts the process's file descriptors; 0 where that is not known.
func openFiles() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

func TestNative(t *testing.T) { suite(t, OpenNative) }

func TestExtism(t *testing.T) { suite(t, OpenExtism) }
