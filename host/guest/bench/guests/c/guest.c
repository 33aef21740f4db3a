// A guest in C: what a call costs when the guest itself is next to nothing. With BULK it copies as our SDKs do, without as
// Extism's plugin development kits do.
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef uint64_t block;

IMPORT("extism:host/env", "input_length") uint64_t input_length(void);
IMPORT("extism:host/env", "length") uint64_t length(block b);
IMPORT("extism:host/env", "free") void release(block b);
IMPORT("frigg:host/http", "send") block send(block request);

static uint8_t buffer[64 << 10];

#ifdef BULK
IMPORT("frigg:host/bulk", "input_read") uint32_t input_read(void *to, uint32_t n);
IMPORT("frigg:host/bulk", "output_write") void output_write(const void *from, uint32_t n);
IMPORT("frigg:host/bulk", "read") void block_read(block b, void *to, uint32_t n);
IMPORT("frigg:host/bulk", "write") block block_write(const void *from, uint32_t n);

static uint32_t input(void) { return input_read(buffer, sizeof buffer); }
static void set_output(uint32_t n) { output_write(buffer, n); }
static block new_block(uint32_t n) { return block_write(buffer, n); }
static uint32_t read_block(block b) {
  uint32_t n = length(b);
  block_read(b, buffer, n);
  return n;
}
#else
IMPORT("extism:host/env", "alloc") block alloc(uint64_t n);
IMPORT("extism:host/env", "output_set") void output_set(block b, uint64_t n);
IMPORT("extism:host/env", "load_u8") uint32_t load_u8(block at);
IMPORT("extism:host/env", "load_u64") uint64_t load_u64(block at);
IMPORT("extism:host/env", "store_u8") void store_u8(block at, uint32_t v);
IMPORT("extism:host/env", "store_u64") void store_u64(block at, uint64_t v);
IMPORT("extism:host/env", "input_load_u8") uint32_t input_load_u8(uint64_t at);
IMPORT("extism:host/env", "input_load_u64") uint64_t input_load_u64(uint64_t at);

static uint32_t input(void) {
  uint32_t n = input_length(), i = 0;
  for (; i + 8 <= n; i += 8) *(uint64_t *)(buffer + i) = input_load_u64(i);
  for (; i < n; i++) buffer[i] = input_load_u8(i);
  return n;
}
static block new_block(uint32_t n) {
  block b = alloc(n);
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8) store_u64(b + i, *(uint64_t *)(buffer + i));
  for (; i < n; i++) store_u8(b + i, buffer[i]);
  return b;
}
static void set_output(uint32_t n) { output_set(new_block(n), n); }
static uint32_t read_block(block b) {
  uint32_t n = length(b), i = 0;
  for (; i + 8 <= n; i += 8) *(uint64_t *)(buffer + i) = load_u64(b + i);
  for (; i < n; i++) buffer[i] = load_u8(b + i);
  return n;
}
#endif

EXPORT("noop") int noop(void) { return 0; }

EXPORT("echo") int echo(void) {
  set_output(input());
  return 0;
}

EXPORT("ask") int ask(void) {
  block question = new_block(input());
  block answer = send(question);
  uint32_t n = read_block(answer);
  release(answer);
  release(question);
  set_output(n);
  return 0;
}

// Which plugin this is: many that differ in nothing else are made by changing the number.
EXPORT("whoami") int whoami(void) { return 0x5eed0000; }

EXPORT("spin") int spin(void) {
  for (volatile uint32_t x = 1; x; x |= 1) x++;
  return 1;
}
