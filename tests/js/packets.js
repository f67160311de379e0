// Packs as analysis/packets.py does, for tests: {name: [dtype, shape, values]}.

const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array };
const eight = (n) => Math.ceil(n / 8) * 8;

export function packet(header, arrays) {
  let offset = 0;
  const parts = Object.entries(arrays).map(([name, [dtype, shape, values]]) => {
    const bytes = new Uint8Array(TYPES[dtype].from(values).buffer);
    const entry = { name, dtype, shape, offset, size: bytes.length, bytes };
    offset += eight(bytes.length);
    return entry;
  });
  const json = new TextEncoder().encode(JSON.stringify({ ...header, arrays: parts.map(({ bytes, ...entry }) => entry) }));
  const start = eight(4 + json.length);
  const out = new Uint8Array(start + offset).fill(32, 0, start);
  new DataView(out.buffer).setUint32(0, start - 4, true);
  out.set(json, 4);
  for (const { offset: at, bytes } of parts) out.set(bytes, start + at);
  return out.buffer;
}
