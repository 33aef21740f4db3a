;; A start section that never ends: it runs before any export.
(module
  (func $spin (loop $again (br $again)))
  (start $spin)
  (func (export "noop") (result i32) (i32.const 0)))
