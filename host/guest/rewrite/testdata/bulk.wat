;; Fills and copies as it is told, in a memory in which no two words are the same.
(module
  (memory (export "memory") 20)
  (func (export "prepare") (local i32)
    (loop $next
      (i32.store (local.get 0) (i32.mul (local.get 0) (i32.const 0x9e3779b1)))
      (local.set 0 (i32.add (local.get 0) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get 0) (i32.const 1310720)))))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2))))
