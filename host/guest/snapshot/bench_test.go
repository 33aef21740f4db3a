package snapshot_test

import (
	"fmt"
	"testing"

	"github.com/frigg-host/frigg-host/host/guest/snapshot"
)

// BenchmarkRestore writes to some pages of a memory of 4 MiB and puts it back. The peer copies the whole image back.
func BenchmarkRestore(b *testing.B) {
	i := newImage(b, picture(4<<20))
	for _, count := range []int{1, 7, 54} {
		for _, by := range methods(b) {
			b.Run(fmt.Sprintf("pages=%d/by=%s", count, by), func(b *testing.B) {
				m := started(b, 64<<20, i)
				for b.Loop() {
					write(m.Bytes(), count)
					if _, err := m.Restore(by, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("pages=%d/by=memcpy", count), func(b *testing.B) {
			m := started(b, 64<<20, i)
			image := i.Bytes()
			for b.Loop() {
				write(m.Bytes(), count)
				copy(m.Bytes(), image)
			}
		})
	}
}

// write changes a byte in each of count pages, in runs of three.
func write(memory []byte, count int) {
	for n := range count {
		memory[(n/3*17+n%3)*page]++
	}
}

// BenchmarkRestoreGrown grows by 1 MiB, writes to it, and puts the memory back.
func BenchmarkRestoreGrown(b *testing.B) {
	i := newImage(b, picture(4<<20))
	for _, keep := range []uint64{0, snapshot.DefaultKeep} {
		for _, by := range methods(b) {
			b.Run(fmt.Sprintf("keep=%d/by=%s", keep, by), func(b *testing.B) {
				m := started(b, 64<<20, i)
				m.Keep = keep
				for b.Loop() {
					dirty(m.Reallocate(5 << 20)[4<<20:])
					if _, err := m.Restore(by, growOne(m)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkNewImage(b *testing.B) {
	memory := picture(4 << 20)
	for b.Loop() {
		i, err := snapshot.NewImage(memory)
		if err != nil {
			b.Fatal(err)
		}
		if err := i.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFork makes a memory from an image, touches a page and frees it.
func BenchmarkFork(b *testing.B) {
	i := newImage(b, picture(4<<20))
	for b.Loop() {
		m, err := snapshot.NewMemory(64<<20, i)
		if err != nil {
			b.Fatal(err)
		}
		m.Reallocate(0)[0]++
		m.Free()
	}
}

func BenchmarkSame(b *testing.B) {
	m := started(b, 64<<20, newImage(b, picture(4<<20)))
	for b.Loop() {
		if !m.Same() {
			b.Fatal("not the same")
		}
	}
}
