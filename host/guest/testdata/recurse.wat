;; Calls itself without end and without a stack of its own.
(module
  (func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))
  (func (export "recurse") (result i32) (call $deeper (i32.const 0))))
