package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/frigg-host/frigg-host/store"
)

// Writer is a database as far as durability goes.
type Writer interface {
	Write(ctx context.Context, act func(tx *store.Tx) error) error
}

// clients is how many goroutines write at once, so that commits are shared.
const clients = 16

// WriteAndDie saves rows through w, prints the number of each as soon as it is acknowledged, and kills its own process, as
// kill -9 does, right after the given number of acknowledgements. It is called in a child process and does not return
// unless writing fails.
func WriteAndDie(w Writer, out *os.File, acks int) error {
	err := w.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(`CREATE TABLE acknowledged (n BIGINT PRIMARY KEY)`)
		return err
	})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	acknowledge := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(out, n)
		if acks--; acks == 0 {
			self, _ := os.FindProcess(os.Getpid())
			self.Kill()
			select {}
		}
	}
	failed := make(chan error)
	for c := range clients {
		go func() {
			for n := c; ; n += clients {
				err := w.Write(context.Background(), func(tx *store.Tx) error {
					_, err := tx.Exec(`INSERT INTO acknowledged (n) VALUES ($1)`, n)
					return err
				})
				if err != nil {
					failed <- err
					return
				}
				acknowledge(n)
			}
		}()
	}
	return <-failed
}

// LostAfterKill returns the rows that a child of WriteAndDie acknowledged and that db does not have. Fewer than acks
// acknowledgements fail the test: nothing would have been looked at.
func LostAfterKill(t *testing.T, db *store.DB, printed io.Reader, acks int) (lost []int) {
	t.Helper()
	var kept []int
	err := db.Read(t.Context(), func(q store.Querier) (err error) {
		kept, err = store.Many(q, store.Value[int], `SELECT n FROM acknowledged ORDER BY n`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	has := map[int]bool{}
	for _, n := range kept {
		has[n] = true
	}
	seen := 0
	for lines := bufio.NewScanner(printed); lines.Scan(); seen++ {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		if !has[n] {
			lost = append(lost, n)
		}
	}
	if seen < acks {
		t.Fatalf("the child acknowledged %d rows, want %d", seen, acks)
	}
	return lost
}

// Hasty is a deliberately wrong Writer, to prove that the check above catches one: it acknowledges before the commit.
type Hasty struct {
	DB *store.DB

	mu    sync.Mutex
	first bool
	held  []func(tx *store.Tx) error
}

// Write acknowledges at once and commits when many acts have come together.
func (h *Hasty) Write(ctx context.Context, act func(tx *store.Tx) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.first { // the table must be there
		h.first = true
		return h.DB.Write(ctx, act)
	}
	if h.held = append(h.held, act); len(h.held) < 4*clients {
		return nil
	}
	held := h.held
	h.held = nil
	return h.DB.Write(ctx, func(tx *store.Tx) error {
		var errs []error
		for _, act := range held {
			errs = append(errs, act(tx))
		}
		return errors.Join(errs...)
	})
}
