;; Ends itself with success before it was asked anything.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func (export "_initialize") (call $exit (i32.const 0)))
  (func (export "noop") (result i32) (i32.const 0)))
