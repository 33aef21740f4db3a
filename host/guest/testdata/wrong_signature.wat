;; Imports a function under a type that it does not have.
(module
  (import "frigg:host/http" "send" (func (param i32 i32) (result i32)))
  (func (export "noop") (result i32) (i32.const 0)))
