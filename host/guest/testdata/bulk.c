// Uses frigg:host/bulk, correctly and not.
#include "extism.h"

#define BULK(name) IMPORT("frigg:host/bulk", name)
BULK("input_read") uint32_t b_input_read(void *p, uint32_t n);
BULK("output_write") void b_output_write(const void *p, uint32_t n);
BULK("read") void b_read(block at, void *p, uint32_t n);
BULK("write") block b_write(const void *p, uint32_t n);

static uint8_t buffer[1 << 16];

EXPORT("echo") int echo(void) {
  b_output_write(buffer, b_input_read(buffer, sizeof buffer));
  return 0;
}

EXPORT("round") int round_trip(void) {
  uint32_t n = b_input_read(buffer, sizeof buffer);
  block b = b_write(buffer, n);
  for (uint32_t i = 0; i < n; i++) buffer[i] = 0;
  b_read(b, buffer, n);
  b_output_write(buffer, n);
  return 0;
}

// Input is the number of the function (1 byte), an offset (8 bytes), an address and a length (4 bytes each).
EXPORT("poke") int poke(void) {
  uint64_t at = k_input_load_u64(1), rest = k_input_load_u64(9);
  void *p = (void *)(uint32_t)rest;
  uint32_t n = rest >> 32;
  k_alloc(40);
  switch (k_input_load_u8(0)) {
    case 0: b_input_read(p, n); break;
    case 1: b_output_write(p, n); break;
    case 2: b_read(at, p, n); break;
    case 3: b_write(p, n); break;
    default: return 99;
  }
  return 0;
}
