// A guest that tries everything, one export per attempt.
#include "extism.h"

IMPORT("frigg:host/http", "send") block http_send(block request);
IMPORT("wasi_snapshot_preview1", "proc_exit") _Noreturn void proc_exit(int code);
IMPORT("wasi_snapshot_preview1", "fd_write") int fd_write(int fd, const void *vectors, int n, uint32_t *written);
IMPORT("wasi_snapshot_preview1", "poll_oneoff") int poll_oneoff(const void *in, void *out, int n, int *fired);

volatile int never;
volatile uint8_t sink[16];

EXPORT("loop") int loop(void) {
  while (!never) sink[0]++;
  return 0;
}

EXPORT("eat_memory") int eat_memory(void) {
  for (;;)
    if (__builtin_wasm_memory_grow(0, 16) == (size_t)-1) __builtin_trap();
}

// Goes on quietly when there is no more.
EXPORT("ask_memory") int ask_memory(void) {
  while (__builtin_wasm_memory_grow(0, 16) != (size_t)-1) {}
  return 0;
}

EXPORT("eat_arena") int eat_arena(void) {
  for (;;) k_alloc(1 << 20);
}

EXPORT("eat_arena_in_crumbs") int eat_arena_in_crumbs(void) {
  for (;;) k_alloc(1);
}

EXPORT("eat_variables") int eat_variables(void) {
  for (uint32_t i = 0;; i++) {
    block name = k_alloc(4);
    k_store_u8(name, i), k_store_u8(name + 1, i >> 8), k_store_u8(name + 2, i >> 16);
    k_var_set(name, k_alloc(1000));
  }
}

EXPORT("unreachable") int unreachable(void) { __builtin_trap(); }

EXPORT("out_of_bounds") int out_of_bounds(void) { return *(volatile int *)0xfffffff0; }

EXPORT("divide_by_zero") int divide_by_zero(void) { return 1000000 / never; }

static int deeper(volatile int *p) {
  volatile int local[64];
  local[0] = *p;
  return deeper(local) + local[1];
}

EXPORT("recurse") int recurse(void) {
  int start = 0;
  return deeper(&start);
}

EXPORT("flood_log") int flood_log(void) {
  for (;;) k_log_info(text("all work and no play"));
}

EXPORT("flood_log_in_gulps") int flood_log_in_gulps(void) {
  for (;;) k_log_info(k_alloc(1 << 20));
}

EXPORT("flood_stderr") int flood_stderr(void) {
  struct { const char *p; uint32_t n; } v = {"0123456789abcdef", 16};
  uint32_t written;
  for (;;) fd_write(2, &v, 1, &written);
}

EXPORT("huge_output") int huge_output(void) {
  uint64_t n = 50 << 20;
  k_output_set(k_alloc(n), n);
  return 0;
}

EXPORT("huge_error") int huge_error(void) {
  block b = k_alloc(8 << 20);
  for (int i = 0; i < 5000; i++) k_store_u8(b + i, 0xff);
  k_error_set(b);
  return 1;
}

EXPORT("call_forever") int call_forever(void) {
  for (int i = 0; i < 1000000000; i++) k_free(http_send(0));
  return 0;
}

EXPORT("sleep_an_hour") int sleep_an_hour(void) {
  uint8_t in[48] = {0}, out[32];
  int fired = 0;
  *(uint64_t *)(in + 24) = 3600ull * 1000000000;
  return poll_oneoff(in, out, 1, &fired);
}

EXPORT("exit_0") int exit_0(void) {
  k_output_set(text("done"), 4);
  proc_exit(0);
}

EXPORT("exit_7") int exit_7(void) { proc_exit(7); }

// The number that the engine itself uses for a deadline.
EXPORT("exit_like_a_deadline") int exit_like_a_deadline(void) { proc_exit((int)0xefffffff); }

EXPORT("bad_request") int bad_request(void) { return (int)http_send(0xdeadbeefull << 32); }

// Overwrites all of its input and tries to write behind it.
EXPORT("overwrite_input") int overwrite_input(void) {
  block b = k_input_offset();
  for (uint64_t i = 0; i < k_input_length(); i++) k_store_u8(b + i, 0xff);
  return 0;
}
