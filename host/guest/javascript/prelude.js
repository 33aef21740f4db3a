// What every program finds beside the language itself. The arguments are the doors of the host; nothing else reaches out, and
// no program gets hold of them. A program that changes the globals may break what is here, for itself.
(function (input, output, thrown, capability, random, encode, decode, debug, info, warn, error) {
  "use strict";
  const { parse, stringify } = JSON;
  const { apply } = Reflect;
  const { then } = Promise.prototype;
  const { freeze, defineProperty } = Object;

  const define = (name, value) => defineProperty(globalThis, name, { value, writable: true, configurable: true });

  // The door of plugins to the host: a function of frigg:host/<capability>, JSON in, an Answer in JSON out.
  defineProperty(globalThis, "frigg", {
    value: freeze({ call: (name, verb, request) => capability(`${name}`, `${verb}`, `${request}`) }),
  });

  const show = (value) => {
    if (typeof value === "string") return value;
    try {
      if (value instanceof Error) return `${value.name}: ${value.message}\n${value.stack ?? ""}`;
      return (typeof value === "object" && stringify(value)) || `${String(value)}`;
    } catch {
      return "[a value that cannot be shown]";
    }
  };
  const line = (door) => (...values) => door(values.map(show).join(" "));
  define("console", {
    debug: line(debug), trace: line(debug), log: line(info), info: line(info), warn: line(warn), error: line(error),
  });

  // Randomness is fresh in each call: the pool is emptied before one.
  let pool = new Uint8Array(0);
  let taken = 0;
  const draw = (n) => {
    if (taken + n > pool.length) {
      pool = random(256);
      taken = 0;
    }
    taken += n;
    return pool.subarray(taken - n, taken);
  };
  Math.random = () => {
    let x = 0;
    for (const byte of draw(6)) x = x * 256 + byte;
    return x / 2 ** 48;
  };
  define("crypto", {
    getRandomValues(array) {
      const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      bytes.set(random(bytes.length));
      return array;
    },
    randomUUID() {
      const b = random(16);
      b[6] = (b[6] & 0x0f) | 0x40;
      b[8] = (b[8] & 0x3f) | 0x80;
      const h = b.toHex();
      return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
    },
  });

  define("TextEncoder", class TextEncoder {
    get encoding() { return "utf-8"; }

    encode(text = "") { return encode(`${text}`.toWellFormed()); }
  });

  // How many bytes follow a lead byte, and the bounds of the first of them (Unicode 16, table 3-7).
  const sequence = (lead) => {
    if (lead >= 0xc2 && lead <= 0xdf) return [1, 0x80, 0xbf];
    if (lead >= 0xe0 && lead <= 0xef) return [2, lead === 0xe0 ? 0xa0 : 0x80, lead === 0xed ? 0x9f : 0xbf];
    if (lead >= 0xf0 && lead <= 0xf4) return [3, lead === 0xf0 ? 0x90 : 0x80, lead === 0xf4 ? 0x8f : 0xbf];
    return [0, 0, 0];
  };
  // mend makes UTF-8 of any bytes: what is none becomes U+FFFD, one for each longest start of a character.
  const mend = (b, from) => {
    const out = new Uint8Array(3 * (b.length - from));
    let n = 0;
    for (let i = from; i < b.length;) {
      const start = i++;
      let [follow, low, high] = sequence(b[start]);
      let whole = follow > 0 || b[start] < 0x80;
      for (; follow > 0; follow--, i++, low = 0x80, high = 0xbf) {
        if (!(b[i] >= low && b[i] <= high)) {
          whole = false;
          break;
        }
      }
      if (whole) {
        for (let at = start; at < i; at++) out[n++] = b[at];
      } else {
        out[n++] = 0xef;
        out[n++] = 0xbf;
        out[n++] = 0xbd;
      }
    }
    return out.subarray(0, n);
  };
  define("TextDecoder", class TextDecoder {
    #fatal;
    #keepsMark;

    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      if (!/^\s*(utf-?8|unicode-1-1-utf-8)\s*$/i.test(label)) throw new RangeError(`TextDecoder knows utf-8, and not ${label}`);
      this.#fatal = fatal;
      this.#keepsMark = ignoreBOM;
    }

    get encoding() { return "utf-8"; }

    decode(data = new Uint8Array(0)) {
      const b = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
      const from = !this.#keepsMark && b[0] === 0xef && b[1] === 0xbb && b[2] === 0xbf ? 3 : 0;
      const text = decode(b.subarray(from));
      if (text === undefined && this.#fatal) throw new TypeError("the data is not UTF-8");
      return text ?? decode(mend(b, from));
    }
  });

  // URLSearchParams is that of the URL Standard, without the URL that it can belong to.
  const plus = (text) => text.replaceAll("+", " ");
  const unescape = (text) => new TextDecoder().decode(bytesOf(plus(text)));
  const bytesOf = (text) => {
    const raw = encode(text.toWellFormed());
    const out = new Uint8Array(raw.length);
    let n = 0;
    for (let i = 0; i < raw.length; i++) {
      const hex = raw[i] === 0x25 ? String.fromCharCode(raw[i + 1], raw[i + 2]) : "";
      if (/^[0-9a-f]{2}$/i.test(hex)) {
        out[n++] = parseInt(hex, 16);
        i += 2;
      } else {
        out[n++] = raw[i];
      }
    }
    return out.subarray(0, n);
  };
  const escape = (text) =>
    encodeURIComponent(text.toWellFormed()).replace(/[!'()~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`).replaceAll("%20", "+");
  define("URLSearchParams", class URLSearchParams {
    #pairs = [];

    constructor(init = "") {
      if (typeof init === "object" && init !== null) {
        for (const [name, value] of Symbol.iterator in init ? init : Object.entries(init)) this.append(name, value);
        return;
      }
      for (const pair of `${init}`.replace(/^\?/, "").split("&")) {
        if (pair === "") continue;
        const at = pair.indexOf("=");
        this.append(unescape(at < 0 ? pair : pair.slice(0, at)), unescape(at < 0 ? "" : pair.slice(at + 1)));
      }
    }

    get size() { return this.#pairs.length; }
    append(name, value) { this.#pairs.push([`${name}`, `${value}`]); }
    get(name) { return this.#pairs.find((p) => p[0] === `${name}`)?.[1] ?? null; }
    getAll(name) { return this.#pairs.filter((p) => p[0] === `${name}`).map((p) => p[1]); }
    has(name, value) { return this.#pairs.some((p) => p[0] === `${name}` && (value === undefined || p[1] === `${value}`)); }
    delete(name, value) { this.#pairs = this.#pairs.filter((p) => p[0] !== `${name}` || (value !== undefined && p[1] !== `${value}`)); }
    set(name, value) {
      const first = this.#pairs.find((p) => p[0] === `${name}`);
      if (first === undefined) return this.append(name, value);
      first[1] = `${value}`;
      this.#pairs = this.#pairs.filter((p) => p === first || p[0] !== first[0]);
    }
    sort() { this.#pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)); }
    forEach(callback, self) { for (const [name, value] of this) callback.call(self, value, name, this); }
    *entries() { for (const [name, value] of this.#pairs) yield [name, value]; }
    *keys() { for (const [name] of this.#pairs) yield name; }
    *values() { for (const [, value] of this.#pairs) yield value; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return this.#pairs.map((p) => p.map(escape).join("=")).join("&"); }
  });

  // explain tells the host of what was thrown.
  const explain = (reason) => {
    let message = "";
    let stack = "";
    try {
      if (reason instanceof Error) {
        message = `${reason.name}: ${reason.message}`;
        stack = `${reason.stack ?? ""}`;
      } else {
        message = `thrown: ${show(reason)}`;
      }
    } catch {
      message = "an exception that cannot be shown";
    }
    thrown(message, stack);
  };

  // faultOf is the Answer for a FriggError, undefined for any other error.
  const faultOf = (reason) => {
    if (!(reason instanceof Error) || typeof reason.fault !== "object" || typeof reason.fault?.kind !== "string") return undefined;
    return stringify({ fault: reason.fault });
  };

  const fail = (reason) => {
    let answer;
    try {
      answer = faultOf(reason);
    } catch {
      // It only looks like a fault.
    }
    if (answer === undefined) explain(reason);
    else output(answer);
  };
  const succeed = (value) => {
    try {
      const answer = stringify({ value: value ?? {} });
      if (answer === "{}") throw new TypeError("the export returned something that JSON cannot say");
      output(answer);
    } catch (reason) {
      fail(reason);
    }
  };
  const run = (handler) => {
    try {
      const value = handler(parse(input()));
      if (typeof value?.then !== "function") return succeed(value);
      const promise = value instanceof Promise ? value : new Promise((resolve) => resolve(value));
      apply(then, promise, [succeed, fail]);
    } catch (reason) {
      fail(reason);
    }
  };

  return {
    explain,
    // link makes the function that the host calls to run an export.
    link(namespace, name) {
      const handler = namespace[name];
      if (typeof handler !== "function") throw new TypeError(`the program does not export a function ${name}`);
      return () => {
        pool = new Uint8Array(0);
        taken = 0;
        run(handler);
      };
    },
  };
})
