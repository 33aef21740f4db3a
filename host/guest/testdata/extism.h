// Imports of the Extism calling convention, and what the fixtures need of a C library.
#include <stdint.h>
#include <stddef.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define ENV(name) IMPORT("extism:host/env", name)

typedef uint64_t block;

ENV("alloc") block k_alloc(uint64_t n);
ENV("free") void k_free(block b);
ENV("length") uint64_t k_length(block b);
ENV("load_u8") uint8_t k_load_u8(block at);
ENV("load_u64") uint64_t k_load_u64(block at);
ENV("store_u8") void k_store_u8(block at, uint32_t v);
ENV("store_u64") void k_store_u64(block at, uint64_t v);
ENV("input_length") uint64_t k_input_length(void);
ENV("input_load_u8") uint8_t k_input_load_u8(uint64_t at);
ENV("input_load_u64") uint64_t k_input_load_u64(uint64_t at);
ENV("input_offset") block k_input_offset(void);
ENV("output_set") void k_output_set(block b, uint64_t n);
ENV("error_set") void k_error_set(block b);
ENV("config_get") block k_config_get(block name);
ENV("var_get") block k_var_get(block name);
ENV("var_set") void k_var_set(block name, block value);
ENV("log_info") void k_log_info(block b);

static inline block text(const char *s) {
  uint64_t n = 0;
  while (s[n]) n++;
  block b = k_alloc(n);
  for (uint64_t i = 0; i < n; i++) k_store_u8(b + i, s[i]);
  return b;
}
