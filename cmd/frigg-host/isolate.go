package main

import "github.com/frigg-host/frigg-host/host/guest/process"

// guestCmd is what a host starts when plugins run in processes of their own. Standard input and output are the wire to it.
type guestCmd struct{}

func (guestCmd) Run(s streams) error { return process.Serve(s.in, s.out) }
