package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/frigg-host/frigg-host/store"
	"github.com/frigg-host/frigg-host/store/storetest"
	"go.uber.org/goleak"
)

// A child process is this test binary with these variables: the database, the writer and how often to acknowledge.
const (
	childPath   = "STORE_TEST_PATH"
	childWriter = "STORE_TEST_WRITER"
	childAcks   = "STORE_TEST_ACKS"
)

func TestMain(m *testing.M) {
	if os.Getenv(childPath) != "" {
		fmt.Fprintln(os.Stderr, child())
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func child() error {
	db, err := store.Open(context.Background(), store.Config{DSN: os.Getenv(childPath)})
	if err != nil {
		return err
	}
	acks, err := strconv.Atoi(os.Getenv(childAcks))
	if err != nil {
		return err
	}
	var w storetest.Writer = db
	if os.Getenv(childWriter) == "hasty" {
		w = &storetest.Hasty{DB: db}
	}
	return storetest.WriteAndDie(w, os.Stdout, acks)
}

// lostAfterKill lets a child die and returns what it lost.
func lostAfterKill(t *testing.T, writer string, acks int) []int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "frigg.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+path, childWriter+"="+writer, childAcks+"="+strconv.Itoa(acks))
	var printed, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &errors
	if err := cmd.Run(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child was not killed: %v, %s", err, errors.String())
	}
	return storetest.LostAfterKill(t, openAt(t, path, false), &printed, acks)
}

func TestWrite_LosesNothingAcknowledgedWhenKilled(t *testing.T) {
	t.Parallel()
	for _, acks := range []int{1, 2, 57, 1000} {
		t.Run(strconv.Itoa(acks), func(t *testing.T) {
			t.Parallel()
			if lost := lostAfterKill(t, "true", acks); len(lost) > 0 {
				t.Errorf("lost %v", lost)
			}
		})
	}
}

func TestDurabilityCheck_CatchesAWriterThatAcknowledgesBeforeTheCommit(t *testing.T) {
	t.Parallel()
	if lost := lostAfterKill(t, "hasty", 100); len(lost) == 0 {
		t.Error("nothing was lost: the check sees nothing")
	}
}
