;; A reactor whose initialisation never ends.
(module
  (func (export "_initialize") (loop $again (br $again)))
  (func (export "noop") (result i32) (i32.const 0)))
