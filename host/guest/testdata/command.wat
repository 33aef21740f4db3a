;; A command: _start is the whole program, and nothing sets it up before. The other two count who was called first.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (global $constructed (mut i32) (i32.const 48))
  (func $say (local $b i64)
    (local.set $b (call $alloc (i64.const 1)))
    (call $store (local.get $b) (global.get $constructed))
    (call $output (local.get $b) (i64.const 1)))
  (func (export "__wasm_call_ctors") (global.set $constructed (i32.add (global.get $constructed) (i32.const 1))))
  (func (export "_start") (call $say))
  (func (export "constructed") (result i32) (call $say) (i32.const 0)))
