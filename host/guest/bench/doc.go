// Command bench measures the engine beside its peers: the same guests, in the same run, taking turns in small batches, so
// that whatever else the machine does happens to all of them alike. What counts are ratios within a round, and the median
// of those.
//
// It is a module of its own because a peer, hashicorp/go-plugin over gRPC, is nothing that the host may depend on.
package main
