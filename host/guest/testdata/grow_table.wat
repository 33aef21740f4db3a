;; Eats memory by its table instead of its linear memory.
(module
  (table $t 1 funcref)
  (func (export "grow") (result i32)
    (loop $again
      (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1))))
    (table.size $t)))
