// A unit that is pointed at: its window in the layer before, what it sees of the input, its sum.

/** Sums, by the layers' own numbers; what is not here yet is asked for. */
class Numbers {
  constructor(ask) {
    this.ask = ask;
    this.waiting = new Map();
    this.forget();
    this.weightsOf = new Map();
  }

  /** Another input: results are others. */
  forget() { this.outputs = new Map(); }

  /** Other weights. */
  forgetWeights() { this.weightsOf = new Map(); }

  /** The whole result of a layer; of the input with -1. */
  output(layer) { return this.get(this.outputs, "layer", layer); }

  /** {weight, bias} of a layer. */
  weights(layer) { return this.get(this.weightsOf, "weights", layer); }

  get(kept, type, layer) {
    if (!kept.has(layer)) {
      kept.set(layer, new Promise((done) => this.waiting.set(`${type} ${layer}`, done)));
      this.ask({ type, layer });
    }
    return kept.get(layer);
  }

  /** An answer has come. */
  answer({ header: { type, layer }, arrays }) {
    this.waiting.get(`${type} ${layer}`)?.(type === "layer" ? arrays.values : arrays);
  }
}

const first = (list) => Math.min(...list.filter((i) => i >= 0));
const last = (list) => Math.max(...list);

/** What a unit of a layer is made of: {value, window, field, and by its kind what was summed}. */
async function explained(numbers, layers, place, [map, row, column], input) {
  const layer = layers[place], own = await numbers.output(place);
  const [, height = 1, width = 1] = layer.shape;
  const value = own.values[(map * height + row) * width + column];
  const made = { place, layer, unit: [map, row, column], value, field: fieldOf(layer, row, column, input) };
  const source = layer.sources.length === 1 ? layer.sources[0] : null;
  if (source === null) return branchOf(made, numbers, map);
  const before = await numbers.output(source);
  made.source = source;
  if (layer.taps.length) {
    const rows = layer.taps[0][row], columns = layer.taps[1][column];
    made.rows = rows;
    made.columns = columns;
    made.window = { rows: [first(rows), last(rows)], columns: [first(columns), last(columns)] };
    const [, h, w] = before.shape;
    made.patch = (channel) => rows.flatMap((r) => columns.map((c) =>
      r < 0 || c < 0 ? 0 : before.values[(channel * h + r) * w + c]));
    if (layer.kind === "pooling") pooled(made, map, row * width + column);
    else if (layer.exact) await convolved(made, numbers, map);
  } else if (layer.kind === "dense" && layer.exact) {
    await dense(made, numbers, before, map);
  } else if (layer.kind === "activation" || layer.kind === "normalisation") {
    made.maps = [map];
    made.window = { rows: [row, row], columns: [column, column] };
    made.from = before.values[(map * height + row) * width + column];
  }
  return made;
}

/** Rows and columns of the input that a unit sees. */
function fieldOf({ field, shape }, row, column, [, height, width]) {
  if (!field) return null;
  if (field === "all" || shape.length === 1) return { rows: [0, height - 1], columns: [0, width - 1] };
  const along = ([start, jump, size], i, extent) => [
    Math.max(0, Math.ceil(start + jump * i)), Math.min(extent - 1, Math.floor(start + jump * i + size - 1))];
  return { rows: along(field[0], row, height), columns: along(field[1], column, width) };
}

/** Where an element of joined branches comes from, or what was added or multiplied. */
async function branchOf(made, numbers, map) {
  const { layer, unit: [, row, column] } = made, [, height = 1, width = 1] = layer.shape;
  made.window = { rows: [row, row], columns: [column, column] };
  const before = await Promise.all(layer.sources.map((source) => numbers.output(source)));
  const at = (i, channel) => before[i].values[(channel * height + row) * width + column];
  if (layer.kind !== "join") {
    return Object.assign(made, { maps: [map], sources: layer.sources, added: before.map((_, i) => at(i, map)) });
  }
  let i = 0;
  while (map >= before[i].shape[0]) map -= before[i++].shape[0];
  return Object.assign(made, { source: layer.sources[i], maps: [map], from: at(i, map) });
}

function pooled(made, map, at) {
  const { rule, divisors } = made.layer;
  const inside = made.rows.flatMap((r) => made.columns.map((c) => r >= 0 && c >= 0));
  const patch = made.patch(map);
  made.maps = [map];
  made.terms = patch.filter((_, i) => inside[i]);
  const total = made.terms.reduce((a, b) => a + b, 0);
  made.divisor = divisors?.[at];
  made.sum = { max: Math.max(...made.terms), avg: total / made.divisor, sum: total }[rule];
}

async function convolved(made, numbers, map) {
  const { layer } = made, { weight, bias } = await numbers.weights(made.place);
  const [filters, channels] = weight.shape, size = weight.values.length / filters / channels;
  const group = Math.floor(map / (filters / layer.groups));
  made.maps = [...Array(channels).keys()].map((c) => group * channels + c);
  made.bias = bias ? bias.values[map] : 0;
  made.filter = (c) => weight.values.subarray((map * channels + c) * size, (map * channels + c + 1) * size);
  made.parts = made.maps.map((channel, c) => {
    const patch = made.patch(channel), filter = made.filter(c);
    return patch.reduce((sum, v, i) => sum + v * filter[i], 0);
  });
  made.sum = made.parts.reduce((a, b) => a + b, made.bias);
}

async function dense(made, numbers, before, unit) {
  const { weight, bias } = await numbers.weights(made.place), count = weight.shape[1];
  const row = weight.values.subarray(unit * count, (unit + 1) * count);
  made.bias = bias ? bias.values[unit] : 0;
  made.products = Float32Array.from(row, (w, i) => w * before.values[i]);
  made.sum = made.products.reduce((a, b) => a + b, made.bias);
  made.weightsOfUnit = row;
  made.before = before;
  const [, h = 1, w = 1] = before.shape;
  made.window = { rows: [0, h - 1], columns: [0, w - 1] };
}

// --- the panel --------------------------------------------------------------------------------

/** A table of numbers on their colours; `best` is marked. */
function table(values, columns, largest, best = -1) {
  const cells = [...values].map((v, i) =>
    `<td style="${shadeCss(v, largest)}"${i === best ? " class=best" : ""}>${number(v)}</td>`);
  const rows = [];
  for (let i = 0; i < cells.length; i += columns) rows.push(`<tr>${cells.slice(i, i + columns).join("")}</tr>`);
  return `<table class=numbers>${rows.join("")}</table>`;
}

const most = (values) => values.reduce((a, v) => Math.max(a, Math.abs(v)), 0);

/** How a unit came about, as HTML made of numbers and our own words alone. */
function story(made, channel) {
  const { layer } = made, columns = made.columns?.length ?? 1;
  if (made.parts) {
    const c = channel ?? made.parts.reduce((b, v, i) => Math.abs(v) > Math.abs(made.parts[b]) ? i : b, 0);
    const patch = made.patch(made.maps[c]), filter = made.filter(c);
    const products = patch.map((v, i) => v * filter[i]);
    const several = made.parts.length > 1;
    const others = made.sum - made.parts[c] - made.bias;
    return `${several ? `<p>Map <select id=channel>${made.maps.map((m, i) =>
      `<option value=${i}${i === c ? " selected" : ""}>${m}: ${number(made.parts[i])}</option>`).join("")}
      </select> of the layer before</p>` : ""}
      <div><span class=quiet>Window</span>${table(patch, columns, most(patch))}</div>
      <div><span class=quiet>× filter ${made.unit[0]}</span>${table(filter, columns, most(filter))}</div>
      <div><span class=quiet>= products</span>${table(products, columns, most(products))}</div>
      <p class=sum>${number(made.parts[c])}${several ? ` from this map, ${number(others)} from the other
        ${made.parts.length - 1}` : " in all"}, bias ${number(made.bias)}:
        sum <b>${number(made.sum)}</b></p>`;
  }
  if (made.terms) {
    const patch = made.patch(made.maps[0]);
    const words = { max: "The largest", avg: `Their sum over ${made.divisor}`, sum: "Their sum" }[layer.rule];
    return `<div><span class=quiet>Window</span>${table(patch, columns, most(patch),
      layer.rule === "max" ? patch.indexOf(made.sum) : -1)}</div>
      <p class=sum>${words ?? layer.rule}${made.sum === undefined ? "" : `: <b>${number(made.sum)}</b>`}</p>`;
  }
  if (made.products) {
    const order = [...made.products.keys()].sort((a, b) =>
      Math.abs(made.products[b]) - Math.abs(made.products[a])).slice(0, 8);
    const lines = order.map((i) => `<tr><td style="text-align:left">${whereIs(i, made.before.shape)}</td>
      <td>${number(made.before.values[i])} × ${number(made.weightsOfUnit[i])}</td>
      <td style="${shadeCss(made.products[i], most(made.products))}">${number(made.products[i])}</td></tr>`);
    const rest = made.sum - made.bias - order.reduce((a, i) => a + made.products[i], 0);
    return `<div><span class=quiet>The largest of ${made.products.length} products</span>
      <table class=numbers>${lines.join("")}</table></div>
      <p class=sum>${number(rest)} from all others, bias ${number(made.bias)}:
      sum <b>${number(made.sum)}</b></p>`;
  }
  if (made.added) {
    return `<p class=sum>${made.added.map(number).join(layer.kind === "product" ? " × " : " + ")}</p>`;
  }
  if (made.from !== undefined) return `<p class=sum>of ${number(made.from)} in the layer before</p>`;
  return "";
}

/** Place i of an array, in words. */
function whereIs(i, [, height = 1, width = 1]) {
  if (height * width === 1) return `unit ${i}`;
  return `map ${Math.floor(i / height / width)} (${Math.floor(i / width) % height}, ${i % width})`;
}

/** A unit in words, for all and for who listens. */
function inWords({ layer, unit: [map, row, column], value, window: w, field }) {
  const where = isFlat(layer) ? `unit ${map}` : `map ${map}, row ${row}, column ${column}`;
  const range = ([a, b]) => a === b ? `${a}` : `${a} to ${b}`;
  const area = ({ rows, columns }) => `rows ${range(rows)}, columns ${range(columns)}`;
  return {
    where, number: number(value),
    window: layer.kind === "dense" ? "made of all of the layer before"
      : w ? `window in the layer before: ${area(w)}` : "",
    field: field ? `sees of the input: ${area(field)}` : "",
  };
}
