// Rows of the gradient views: the tree of blocks, layers and their parameters.

/**
 * Rows in order: {id, key, name, depth, kind: "block" | "layer" | "parameter", type, detail, layer (index, -1),
 * parameters (indices, those of layers within included), elements, own (names of own parameters), opens}.
 * A layer's id is its key, a parameter's its full name; the key of a parameter in no layer is that name too.
 */
export function rowsOf(header) {
  const { layers, parameters } = header;
  const own = new Map();
  parameters.forEach(([layer], p) => own.set(layer, [...(own.get(layer) || []), p]));
  const rows = [];
  const add = (row) => rows.push({ ...row, elements: row.parameters.reduce((n, p) => n + parameters[p][2], 0) });
  const listed = new Set(layers.map(([key]) => key.replace(/#\d+$/, "")));
  const above = (key) => { // the row below which it stands; an nn.ModuleList has none, as nothing calls it
    do key = key.slice(0, Math.max(0, key.lastIndexOf("."))); while (key && !listed.has(key));
    return key;
  };
  const first = new Map(); // only the first call of a module carries its parameters
  layers.forEach(([key, type, block, detail], i) => {
    const module = key.replace(/#\d+$/, "");
    const parent = above(key);
    let depth = 0;
    for (let at = parent; at; at = above(at)) depth += 1;
    const again = first.has(module);
    first.set(module, i);
    const mine = again ? [] : own.get(i) || [];
    const within = block ? layers.flatMap(([other], k) => (other !== key && other.startsWith(`${module}.`) ? own.get(k) || [] : [])) : [];
    const all = [...new Set([...mine, ...within])];
    add({ id: key, key, name: key.slice(parent ? parent.length + 1 : 0), depth, kind: block ? "block" : "layer", type, detail, layer: i, parameters: all, own: mine.map((p) => parameters[p][1]), opens: Boolean(block) || mine.length > 0 });
    for (const p of mine) {
      add({ id: `${key}.${parameters[p][1]}`, key, name: parameters[p][1], depth: depth + 1, kind: "parameter", type: "parameter", detail: "", layer: -1, parameters: [p], own: [parameters[p][1]], opens: false });
    }
  });
  for (const p of own.get(-1) || []) {
    const name = parameters[p][1];
    add({ id: name, key: name, name, depth: 0, kind: "parameter", type: "parameter", detail: "of the model", layer: -1, parameters: [p], own: [name], opens: false });
  }
  return rows;
}

/** Ids of rows that are open at first: blocks level by level, at last layers too, as long as all rows find room. */
export function openAtFirst(rows, room, wanted = () => true) {
  const open = new Set();
  const deepest = Math.max(0, ...rows.map(({ depth }) => depth));
  for (let depth = 0; depth <= deepest; depth += 1) {
    const more = new Set(open);
    for (const row of rows) if (row.kind === "block" && row.depth === depth) more.add(row.id);
    if (visible(rows, more, wanted).length > room) break;
    for (const id of more) open.add(id);
    if (depth < deepest) continue;
    for (const row of rows) if (row.opens) more.add(row.id);
    if (visible(rows, more, wanted).length <= room) return more;
  }
  return open;
}

/** Rows in sight: `wanted` ones in no closed block; with a query all layers that it names. */
export function visible(rows, open, wanted = () => true, query = "") {
  const asked = query.trim().toLowerCase();
  if (asked) return rows.filter((row) => row.kind !== "parameter" && `${row.key} ${row.type}`.toLowerCase().includes(asked));
  let hiddenBelow = Infinity;
  return rows.filter((row) => {
    if (row.depth > hiddenBelow) return false;
    hiddenBelow = row.opens && !open.has(row.id) ? row.depth : Infinity;
    return row.kind === "parameter" || wanted(row);
  });
}

/** Whether a row has parameters of its own or within. */
export const weighted = (row) => row.parameters.length > 0;
