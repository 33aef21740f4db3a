// Package snapshot keeps images of linear memories, starts memories from them copy-on-write, and puts memories back.
//
// An Image is what a memory was at one moment. A Memory that starts from it shares its pages until it writes to them, so
// that starting costs a mapping and not a copy, and Restore has to look only at the pages that were written. How those
// are found is a Method; Probe says which one works here.
//
// It knows pages, mappings and sizes. It does not know modules, globals, calls or owners, nor the engine: a Memory has the
// shape that the engine asks of a linear memory, and the engine hands in the one function by which an instance learns its
// new size.
//
// An Image is safe for concurrent use. A Memory belongs to one goroutine at a time; different memories of one Image may be
// used in parallel. Nothing is left to the garbage collector: who makes an Image closes it, who makes a Memory frees it,
// and Live counts what is left.
package snapshot
