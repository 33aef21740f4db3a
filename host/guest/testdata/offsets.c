// Calls one kernel function with arguments of the caller's choice: input is the number of the function (1 byte) and two
// arguments (8 bytes each). Three blocks of 40 bytes are there before.
#include "extism.h"

ENV("length_unsafe") uint64_t k_length_unsafe(block b);
ENV("output_length") uint64_t k_output_length(void);
ENV("output_offset") uint64_t k_output_offset(void);
ENV("error_get") uint64_t k_error_get(void);
ENV("input_set") void k_input_set(block b, uint64_t n);
ENV("memory_bytes") uint64_t k_memory_bytes(void);
ENV("reset") void k_reset(void);
ENV("http_request") block k_http_request(block request, block body);
ENV("http_status_code") int k_http_status_code(void);
ENV("http_headers") block k_http_headers(void);
ENV("get_log_level") int k_get_log_level(void);
ENV("log_trace") void k_log_trace(block b);
ENV("log_debug") void k_log_debug(block b);
ENV("log_warn") void k_log_warn(block b);
ENV("log_error") void k_log_error(block b);
IMPORT("frigg:host/http", "send") block http_send(block request);

EXPORT("poke") int poke(void) {
  uint8_t function = k_input_load_u8(0);
  uint64_t a = k_input_load_u64(1), b = k_input_load_u64(9);
  for (int i = 0; i < 3; i++) k_alloc(40);
  switch (function) {
    case 0: k_alloc(a); break;
    case 1: k_free(a); break;
    case 2: k_length(a); break;
    case 3: k_length_unsafe(a); break;
    case 4: k_load_u8(a); break;
    case 5: k_load_u64(a); break;
    case 6: k_store_u8(a, b); break;
    case 7: k_store_u64(a, b); break;
    case 8: k_input_set(a, b); break;
    case 9: k_input_length(); break;
    case 10: k_input_load_u8(a); break;
    case 11: k_input_load_u64(a); break;
    case 12: k_input_offset(); break;
    case 13: k_output_set(a, b); break;
    case 14: k_output_length(); break;
    case 15: k_output_offset(); break;
    case 16: k_error_set(a); break;
    case 17: k_error_get(); break;
    case 18: k_reset(); break;
    case 19: k_memory_bytes(); break;
    case 20: k_config_get(a); break;
    case 21: k_var_get(a); break;
    case 22: k_var_set(a, b); break;
    case 23: k_http_request(a, b); break;
    case 24: k_http_status_code(); break;
    case 25: k_http_headers(); break;
    case 26: k_get_log_level(); break;
    case 27: k_log_trace(a); break;
    case 28: k_log_debug(a); break;
    case 29: k_log_info(a); break;
    case 30: k_log_warn(a); break;
    case 31: k_log_error(a); break;
    case 32: http_send(a); break;
    default: return 99;
  }
  return 0;
}
