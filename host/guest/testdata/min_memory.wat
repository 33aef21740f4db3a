;; Wants 4 GiB before it does anything.
(module
  (memory (export "memory") 65536)
  (func (export "noop") (result i32) (i32.const 0)))
