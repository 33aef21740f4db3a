;; Imports a memory: of whom?
(module
  (import "env" "memory" (memory 1))
  (func (export "noop") (result i32) (i32.const 0)))
