// A well-behaved guest: one export for each thing that the engines promise.
#include "extism.h"

IMPORT("frigg:host/http", "send") block http_send(block request);
IMPORT("wasi_snapshot_preview1", "random_get") int random_get(void *p, size_t n);
IMPORT("wasi_snapshot_preview1", "clock_time_get") int clock_time_get(int id, uint64_t precision, uint64_t *t);
IMPORT("wasi_snapshot_preview1", "fd_write") int fd_write(int fd, const void *vectors, int n, uint32_t *written);
IMPORT("wasi_snapshot_preview1", "poll_oneoff") int poll_oneoff(const void *in, void *out, int n, int *fired);

EXPORT("noop") int noop(void) { return 0; }

EXPORT("echo") int echo(void) {
  uint64_t n = k_input_length(), i = 0;
  block b = k_alloc(n);
  for (; i + 8 <= n; i += 8) k_store_u64(b + i, k_input_load_u64(i));
  for (; i < n; i++) k_store_u8(b + i, k_input_load_u8(i));
  k_output_set(b, n);
  return 0;
}

// Output of a function without a result, whose block is freed after it was set.
EXPORT("echo_freed") void echo_freed(void) {
  echo();
  block b = k_input_offset();
  k_output_set(b, k_length(b));
  k_free(b);
}

static uint8_t count;
static uint8_t memory[100000];

// State must not survive: globals, memory and variables are as the module was built, so the output is 0x01 0x00 0x00.
EXPORT("state") int state(void) {
  block key = text("key");
  block old = k_var_get(key);
  uint8_t seen[3] = {++count, memory[99999], old ? 1 : 0};
  memory[99999] = 1;
  k_var_set(text("key"), text("value"));
  block out = k_alloc(3);
  for (int i = 0; i < 3; i++) k_store_u8(out + i, seen[i]);
  k_output_set(out, 3);
  return 0;
}

// A variable lives as long as the call.
EXPORT("variable") int variable(void) {
  k_var_set(text("key"), text("value"));
  block b = k_var_get(text("key"));
  k_output_set(b, k_length(b));
  return 0;
}

EXPORT("configured") int configured(void) {
  block b = k_config_get(text("greeting"));
  k_output_set(b, k_length(b));
  return 0;
}

EXPORT("fail") int fail(void) {
  k_error_set(text("no such customer"));
  return 1;
}

EXPORT("fail_zero") int fail_zero(void) {
  k_error_set(text("said with result 0"));
  return 0;
}

EXPORT("fail_silent") int fail_silent(void) { return 7; }

EXPORT("log") int log_input(void) {
  echo();
  uint64_t n = k_input_length();
  block b = k_alloc(n);
  for (uint64_t i = 0; i < n; i++) k_store_u8(b + i, k_input_load_u8(i));
  k_log_info(b);
  return 0;
}

EXPORT("send") int send(void) {
  uint64_t n = k_input_length();
  block b = k_alloc(n);
  for (uint64_t i = 0; i < n; i++) k_store_u8(b + i, k_input_load_u8(i));
  block answer = http_send(b);
  k_output_set(answer, k_length(answer));
  return 0;
}

EXPORT("print") int print(void) {
  struct { const char *p; uint32_t n; } v[2] = {{"to ", 3}, {"stderr\n", 7}};
  uint32_t written;
  return fd_write(2, v, 2, &written) != 0 || written != 10;
}

// 16 random bytes, then the wall clock and the monotonic clock in nanoseconds.
EXPORT("sources") int sources(void) {
  uint8_t b[32];
  if (random_get(b, 16) || clock_time_get(0, 1, (void *)(b + 16)) || clock_time_get(1, 1, (void *)(b + 24))) return 1;
  block out = k_alloc(32);
  for (int i = 0; i < 32; i++) k_store_u8(out + i, b[i]);
  k_output_set(out, 32);
  return 0;
}

// Sleeps as many milliseconds as the input has bytes.
EXPORT("nap") int nap(void) {
  uint8_t in[48] = {0}, out[32];
  int fired = 0;
  *(uint64_t *)(in + 24) = k_input_length() * 1000000;
  return poll_oneoff(in, out, 1, &fired) != 0 || fired != 1;
}
