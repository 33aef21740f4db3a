// Answers the endpoints of the comparison without a library: what a guest costs that brings nothing along.
//
// Built by make with clang for wasm32. Texts are spans of two buffers, the input and what a host function answered.
#include <stddef.h>
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
IMPORT("extism:host/env", "length") uint64_t block_length(uint64_t block);
IMPORT("frigg:host/bulk", "input_read") uint32_t input_read(void *to, uint32_t n);
IMPORT("frigg:host/bulk", "output_write") void output_write(const void *from, uint32_t n);
IMPORT("frigg:host/bulk", "read") void block_read(uint64_t block, void *to, uint32_t n);
IMPORT("frigg:host/bulk", "write") uint64_t block_write(const void *from, uint32_t n);
IMPORT("frigg:host/http", "send") uint64_t http_send(uint64_t request);

enum { ROOM = 256 << 10, DEPTH = 64, KEYS = 256 };
static char input[ROOM], answer[ROOM], output[2 * ROOM];
static uint32_t written;

typedef struct { char *at, *end; } span;

#define TEXT(s) ((span){(char *)(s), (char *)(s) + sizeof(s) - 1})

static int equal(span a, span b) {
  if (a.end - a.at != b.end - b.at) return 0;
  for (; a.at < a.end; a.at++, b.at++)
    if (*a.at != *b.at) return 0;
  return 1;
}

// -- writing

static void put(span s) {
  for (; s.at < s.end && written < sizeof output; s.at++) output[written++] = *s.at;
}

// put_quoted writes what stands inside the quotes of a JSON text.
static void put_quoted(span s) {
  static const char hex[] = "0123456789abcdef";
  for (; s.at < s.end && written + 6 < sizeof output; s.at++) {
    unsigned char c = *s.at;
    if (c == '"' || c == '\\') output[written++] = '\\';
    if (c >= ' ') {
      output[written++] = c;
      continue;
    }
    put(TEXT("\\u00"));
    output[written++] = hex[c >> 4];
    output[written++] = hex[c & 15];
  }
}

static void put_number(uint32_t n) {
  char digits[10], *at = digits + sizeof digits;
  do *--at = '0' + n % 10;
  while (n /= 10);
  put((span){at, digits + sizeof digits});
}

// -- reading: each goes past something and reports whether it was there

static void space(span *s) {
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++;
}

static int take(span *s, char c) {
  space(s);
  if (s->at == s->end || *s->at != c) return 0;
  s->at++;
  return 1;
}

// quoted finds what stands between quotes.
static int quoted(span *s, span *inside) {
  if (!take(s, '"')) return 0;
  for (inside->at = s->at; s->at < s->end && *s->at != '"'; s->at++) {
    if ((unsigned char)*s->at < ' ') return 0;
    if (*s->at == '\\' && ++s->at == s->end) return 0;
  }
  if (s->at == s->end) return 0;
  inside->end = s->at++;
  return 1;
}

static int word(span *s, span w) {
  span here = {s->at, s->at + (w.end - w.at)};
  if (s->end - s->at < w.end - w.at || !equal(here, w)) return 0;
  s->at = here.end;
  return 1;
}

static int digits(span *s) {
  char *from = s->at;
  while (s->at < s->end && *s->at >= '0' && *s->at <= '9') s->at++;
  return s->at > from;
}

static int sign(span *s, char a, char b) {
  if (s->at == s->end || (*s->at != a && *s->at != b)) return 0;
  s->at++;
  return 1;
}

static int number(span *s) {
  sign(s, '-', '-');
  if (!sign(s, '0', '0') && !digits(s)) return 0;
  if (sign(s, '.', '.') && !digits(s)) return 0;
  if (!sign(s, 'e', 'E')) return 1;
  sign(s, '+', '-');
  return digits(s);
}

static int object(span *s, int depth, span *keys, uint32_t *count);

static int list(span *s, int depth);

static int value(span *s, int depth) {
  span inside;
  space(s);
  if (s->at == s->end || depth == DEPTH) return 0;
  switch (*s->at) {
    case '{': return object(s, depth, NULL, NULL);
    case '[': return list(s, depth);
    case '"': return quoted(s, &inside);
    case 't': return word(s, TEXT("true"));
    case 'f': return word(s, TEXT("false"));
    case 'n': return word(s, TEXT("null"));
  }
  return number(s);
}

static int list(span *s, int depth) {
  if (!take(s, '[')) return 0;
  if (take(s, ']')) return 1;
  do
    if (!value(s, depth + 1)) return 0;
  while (take(s, ','));
  return take(s, ']');
}

// object collects different keys, unless keys is NULL.
static int object(span *s, int depth, span *keys, uint32_t *count) {
  span key;
  if (!take(s, '{')) return 0;
  if (take(s, '}')) return 1;
  do {
    if (!quoted(s, &key) || !take(s, ':') || !value(s, depth + 1)) return 0;
    if (!keys) continue;
    uint32_t i = 0;
    while (i < *count && !equal(keys[i], key)) i++;
    if (i == KEYS) return 0;
    keys[i] = key;
    if (i == *count) ++*count;
  } while (take(s, ','));
  return take(s, '}');
}

// member finds the value of a key of the object in s.
static int member(span s, span key, span *found) {
  span k;
  if (!take(&s, '{') || take(&s, '}')) return 0;
  do {
    if (!quoted(&s, &k) || !take(&s, ':')) return 0;
    space(&s);
    found->at = s.at;
    if (!value(&s, 1)) return 0;
    found->end = s.at;
    if (equal(k, key)) return 1;
  } while (take(&s, ','));
  return 0;
}

static uint32_t unit(char *at) {
  uint32_t u = 0;
  for (int i = 0; i < 4; i++) {
    char c = at[i] | 32;
    u = u << 4 | (c >= 'a' ? c - 'a' + 10 : c - '0');
  }
  return u;
}

static char *put_rune(char *to, uint32_t r) {
  if (r < 0x80) {
    *to++ = r;
    return to;
  }
  if (r < 0x800) {
    *to++ = 0xc0 | r >> 6;
  } else {
    if (r < 0x10000) {
      *to++ = 0xe0 | r >> 12;
    } else {
      *to++ = 0xf0 | r >> 18;
      *to++ = 0x80 | (r >> 12 & 0x3f);
    }
    *to++ = 0x80 | (r >> 6 & 0x3f);
  }
  *to++ = 0x80 | (r & 0x3f);
  return to;
}

// text reads a JSON text where it stands, from a host that escapes correctly.
static int text(span quotes, span *plain) {
  span s;
  if (!quoted(&quotes, &s)) return 0;
  char *from = s.at, *to = s.at;
  plain->at = to;
  while (from < s.end) {
    if (*from != '\\') {
      *to++ = *from++;
      continue;
    }
    char c = from[1];
    from += 2;
    switch (c) {
      case 'b': *to++ = '\b'; break;
      case 'f': *to++ = '\f'; break;
      case 'n': *to++ = '\n'; break;
      case 'r': *to++ = '\r'; break;
      case 't': *to++ = '\t'; break;
      case 'u': {
        if (s.end - from < 4) return 0;
        uint32_t r = unit(from);
        from += 4;
        if (r >> 10 == 0x36 && s.end - from >= 6) {
          r = 0x10000 + ((r & 0x3ff) << 10 | (unit(from + 2) & 0x3ff));
          from += 6;
        }
        to = put_rune(to, r);
        break;
      }
      default: *to++ = c;
    }
  }
  plain->end = to;
  return 1;
}

// -- answers

static void refuse(span kind, span why) {
  written = 0;
  put(TEXT("{\"fault\":{\"kind\":\""));
  put(kind);
  put(TEXT("\",\"message\":\""));
  put_quoted(why);
  put(TEXT("\"}}"));
}

static void hello(void) { put(TEXT("{\"value\":{\"status\":200,\"text\":\"hello\\n\"}}")); }

static const char json_head[] = "{\"value\":{\"status\":200,\"headers\":{\"content-type\":\"application/json\"},\"text\":\"";
static const char json_tail[] = "\"}}";

static void count(span request) {
  static span keys[KEYS + 1];
  span raw, body;
  uint32_t n = 0;
  if (!member(request, TEXT("text"), &raw) || !text(raw, &body) || !object(&body, 0, keys, &n)) {
    refuse(TEXT("invalid"), TEXT("the body is not a JSON object of at most 256 keys"));
    return;
  }
  space(&body);
  if (body.at != body.end) {
    refuse(TEXT("invalid"), TEXT("something follows the JSON of the body"));
    return;
  }
  put(TEXT(json_head));
  put(TEXT("{\\\"ok\\\":true,\\\"n\\\":"));
  put_number(n);
  put(TEXT("}"));
  put(TEXT(json_tail));
}

static void relay(void) {
  static const char request[] = "{\"role\":\"stub\",\"url\":\"/me\"}";
  span said, raw, body;
  uint64_t block = http_send(block_write(request, sizeof request - 1));
  uint64_t n = block_length(block);
  if (n > sizeof answer) {
    refuse(TEXT("too_large"), TEXT("the stub says too much"));
    return;
  }
  block_read(block, answer, n);
  said = (span){answer, answer + n};
  if (!member(said, TEXT("value"), &raw)) {
    put(said); // the fault as it is
    return;
  }
  if (!member(raw, TEXT("text"), &raw) || !text(raw, &body)) {
    refuse(TEXT("unavailable"), TEXT("the stub says nothing"));
    return;
  }
  span rest = body;
  if (!value(&rest, 0)) {
    refuse(TEXT("unavailable"), TEXT("the stub does not speak JSON"));
    return;
  }
  put(TEXT(json_head));
  put(TEXT("{\\\"ok\\\":true,\\\"up\\\":"));
  put_quoted(body);
  put(TEXT("}"));
  put(TEXT(json_tail));
}

__attribute__((export_name("frigg_handle_route"))) int handle_route(void) {
  span request = {input, input + input_read(input, sizeof input)}, event, name;
  written = 0;
  if (!member(request, TEXT("event"), &event) || !text(event, &name)) refuse(TEXT("too_large"), TEXT("the request is too large"));
  else if (equal(name, TEXT("POST /json"))) count(request);
  else if (equal(name, TEXT("GET /:integrationId/sub"))) relay();
  else hello();
  output_write(output, written);
  return 0;
}

// Events are done at once.
__attribute__((export_name("frigg_handle_event"))) int handle_event(void) {
  output_write("{\"value\":{}}", 12);
  return 0;
}
