;; Has no memory and calls what writes into it.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (func (export "noop") (result i32) (i32.const 0))
  (func (export "random") (result i32) (call $random (i32.const 0) (i32.const 16)))
  (func (export "write") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0))))
