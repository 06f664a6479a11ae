"use strict";
// Messages of server and page, as pycnn/live/frames.py has them, and who answers.

/** Header and arrays, {values, shape}, of a message. */
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  let at = 4 + length;
  for (const { name, dtype, shape } of header.arrays) {
    const Kind = dtype === "uint8" ? Uint8Array : Float32Array;
    const values = new Kind(buffer, at, shape.reduce((a, b) => a * b, 1));
    arrays[name] = { values, shape };
    at += 4 * Math.ceil(values.byteLength / 4);
  }
  return { header, arrays };
}

/** A message of a header and arrays, {values, shape}. */
function pack(header, arrays = {}) {
  const listed = Object.entries(arrays).map(([name, { values, shape }]) =>
    ({ name, shape, dtype: values instanceof Uint8Array ? "uint8" : "float32" }));
  let text = new TextEncoder().encode(JSON.stringify({ ...header, arrays: listed }));
  const padded = new Uint8Array(4 * Math.ceil(text.length / 4)).fill(32);
  padded.set(text);
  const parts = [new Uint32Array([padded.length]), padded];
  for (const { values } of Object.values(arrays)) {
    parts.push(values, new Uint8Array(-values.byteLength & 3));
  }
  return new Blob(parts);
}

/** The server that the page came from. It is asked again every second after it was lost. */
class Server {
  constructor(hear, tell) {
    this.hear = hear;
    this.tell = tell;
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(`ws://${location.host}/socket`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => { this.here = true; this.tell(true); };
    this.socket.onmessage = (event) => this.hear(unpack(event.data));
    this.socket.onclose = (event) => {
      this.here = false;
      this.tell(false, event);
      setTimeout(() => this.connect(), 1000);
    };
  }

  send(header, arrays) {
    if (this.here) this.socket.send(pack(header, arrays));
    return this.here;
  }
}

/** What a server once said, kept in the page itself: it answers for the inputs that it has. */
class Recorded {
  constructor(hear) {
    this.hear = hear;
    this.more = {};
  }

  async begin() {
    const texts = [...document.querySelectorAll("script[type='application/octet-stream']")];
    const messages = await Promise.all(texts.map(async (one) => {
      const packed = new Blob([Uint8Array.from(atob(one.textContent), (c) => c.charCodeAt(0))]);
      const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
      return unpack(await new Response(stream).arrayBuffer());
    }));
    this.frames = messages.filter((m) => m.header.type === "frame");
    this.weights = messages.filter((m) => m.header.type === "weights");
    messages.filter((m) => !["frame", "weights"].includes(m.header.type)).forEach(this.hear);
  }

  send({ type, frame, index, layer, count }) {
    if (type === "weights") this.hear(this.weights.find((m) => m.header.layer === layer));
    if (type === "layer") {
      const values = this.now.arrays[layer < 0 ? "x" : layer];
      this.hear({ header: { type, layer }, arrays: { values } });
    }
    if (type === "more") this.more[layer] = count;
    if (type === "sample") this.now = this.frames[index];
    if (type === "more" || type === "sample") queueMicrotask(() => this.show(frame));
    return true;
  }

  /** Of every layer the maps that a server would send. */
  show(frame) {
    const some = Object.entries(this.now.arrays).map(([name, { values, shape: [count, ...rest] }]) => {
      const sent = rest.some((n) => n > 1) ? Math.min(count, this.more[name] ?? 16) : count;
      return [name, { values: values.subarray(0, sent * values.length / count), shape: [sent, ...rest] }];
    });
    this.hear({ header: { ...this.now.header, frame }, arrays: Object.fromEntries(some) });
  }
}
