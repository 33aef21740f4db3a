package snapshot

import "sync/atomic"

var liveMemories, liveImages atomic.Int64

// Live counts what this process holds now: memories that were not freed, and images that were not closed or that a memory
// still uses. It is safe for concurrent use.
func Live() (memories, images int) { return int(liveMemories.Load()), int(liveImages.Load()) }
