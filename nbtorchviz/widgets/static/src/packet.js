// Unpack what Python packed: one buffer with a JSON header and typed arrays (analysis/packets.py).

const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };

/** Return {header, arrays}; arrays are views of `data` where its alignment allows, else copies. */
export function decode(data) {
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  const size = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)));
  const arrays = {};
  for (const { name, dtype, shape, offset, size: length } of header.arrays) {
    const part = bytes.subarray(4 + size + offset, 4 + size + offset + length);
    const Type = TYPES[dtype];
    const whole = part.byteOffset % Type.BYTES_PER_ELEMENT === 0 ? part : part.slice();
    const values = new Type(whole.buffer, whole.byteOffset, length / Type.BYTES_PER_ELEMENT);
    arrays[name] = Object.assign(values, { shape });
  }
  return { header, arrays };
}
