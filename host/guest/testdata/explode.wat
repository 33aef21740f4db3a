;; Calls itself twice, 100 deep, without a loop: the sun burns out before it returns.
(module
  (func $twice (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (call $twice (i32.sub (local.get 0) (i32.const 1))) (call $twice (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 1))))
  (func (export "explode") (result i32) (call $twice (i32.const 100))))
