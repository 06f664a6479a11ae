// The layers: a row a unit, its convolution, activation and pooling side by side.

const BEGINS_NO_ROW = ["activation", "pooling", "normalisation", "softmax"];

/** Whether a layer is shown as bars: it has no places. */
const isFlat = ({ shape }) => shape.length === 1 || shape.slice(1).every((n) => n === 1);

/** A layer in its canvas, which says to which unit a place belongs. */
class Panel {
  constructor(layer, place, more) {
    this.layer = layer;
    this.place = place;
    this.flat = isFlat(layer);
    this.marks = [];
    this.figure = document.createElement("figure");
    this.figure.className = "panel";
    const caption = document.createElement("figcaption");
    caption.innerHTML = "<b></b><span class=shape></span><span class=most></span>";
    caption.children[0].textContent = layer.text;
    caption.children[1].textContent = layer.shape.join("×");
    this.most = caption.children[2];
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.ariaLabel = `${layer.path}, ${layer.text}, ${layer.shape.join(" by ")}; arrow keys`
      + (this.flat ? " move from unit to unit" : " move over the map, page up and down change it");
    this.more = document.createElement("button");
    this.more.type = "button";
    this.more.hidden = true;
    this.more.onclick = () => more(place, 4 * this.count);
    this.figure.append(caption, this.canvas, this.more);
  }

  /** New values of the layer. */
  set(array, largest) {
    this.largest = largest;
    this.values = array.values;
    this.count = this.flat ? array.values.length : array.shape[0];
    this.most.textContent = `±${number(largest)}`;
    const left = this.layer.shape[0] - this.count;
    this.more.hidden = left <= 0;
    this.more.textContent = `${this.count} of ${this.layer.shape[0]} maps · show more`;
    this.atlas = null;
    this.array = array;
    this.stale = true;
    this.layOut();
    if (this.visible !== false) this.paint();
  }

  /** Takes its place, also where it is not seen yet. */
  layOut() {
    this.room ??= this.canvas.clientWidth || 240;
    if (!this.flat) this.grid = gridOf(this.count, ...this.layer.shape.slice(1), this.room);
    this.height = this.flat ? 92 : this.grid.rows * (this.grid.cellHeight + 6) - 6;
    this.canvas.style.height = `${this.height}px`;
  }

  paint() {
    if (!this.array) return;
    this.stale = false;
    const context = sized(this.canvas, this.room, this.height);
    if (this.flat) this.paintBars(context);
    else this.paintMaps(context);
  }

  paintMaps(context) {
    const [, height, width] = this.layer.shape, grid = this.grid;
    this.atlas ??= atlasOf(this.array, this.largest);
    for (let map = 0; map < this.count; map++) {
      context.drawImage(this.atlas, 0, map * height, width, height, ...this.corner(map),
        grid.cellWidth, grid.cellHeight);
    }
    const s = grid.scale;
    for (const { maps, rows: [top, bottom], columns: [left, right] } of this.marks) {
      for (const map of maps ?? Array(this.count).keys()) {
        if (map >= this.count) continue;
        const [x, y] = this.corner(map);
        frameAround(context, x + left * s, y + top * s, (right - left + 1) * s,
          (bottom - top + 1) * s, INK.ink);
      }
    }
  }

  paintBars(context) {
    const { room, height } = this, step = room / this.count;
    const middle = height / 2, gap = step > 5 ? 1.5 : step > 2.5 ? 0.5 : 0;
    for (let i = 0; i < this.count; i++) {
      const value = this.values[i], size = (middle - 4) * value / (this.largest || 1);
      const colour = shade(Math.sign(value) * (0.4 * this.largest + 0.6 * Math.abs(value)), this.largest);
      context.fillStyle = `rgb(${colour & 255},${(colour >> 8) & 255},${(colour >> 16) & 255})`;
      context.fillRect(i * step, size > 0 ? middle - size : middle, step - gap, Math.abs(size));
    }
    context.fillStyle = INK.line;
    context.fillRect(0, middle - 0.5, room, 1);
    for (const { maps } of this.marks) {
      for (const i of maps ?? []) frameAround(context, i * step, 1, step - gap, height - 2, INK.ink);
    }
  }

  corner(map) {
    const { columns, cellWidth, cellHeight } = this.grid;
    return [map % columns * (cellWidth + 6), Math.floor(map / columns) * (cellHeight + 6)];
  }

  /** Map, row and column at a place of the canvas; null between maps. */
  unitAt(x, y) {
    if (!this.array) return null;
    if (this.flat) {
      const unit = Math.floor(x / this.room * this.count);
      return unit >= 0 && unit < this.count ? [unit, 0, 0] : null;
    }
    const { columns, cellWidth, cellHeight, scale } = this.grid, [, height, width] = this.layer.shape;
    const column = Math.floor(x / (cellWidth + 6)), row = Math.floor(y / (cellHeight + 6));
    const map = row * columns + column;
    const at = [(y - row * (cellHeight + 6)) / scale, (x - column * (cellWidth + 6)) / scale].map(Math.floor);
    const inside = at[0] >= 0 && at[1] >= 0 && at[0] < height && at[1] < width;
    return inside && column < columns && map < this.count ? [map, ...at] : null;
  }

  /** The unit that an arrow key leads to. */
  moved([map, row, column], key) {
    const [, height = 1, width = 1] = this.flat ? [] : this.layer.shape;
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
    const within = (n, count) => Math.max(0, Math.min(count - 1, n));
    if (this.flat) return step ? [within(map + step[0] + step[1], this.count), 0, 0] : null;
    if (key === "PageDown" || key === "PageUp") {
      return [within(map + (key === "PageDown" ? 1 : -1), this.count), row, column];
    }
    return step ? [map, within(row + step[0], height), within(column + step[1], width)] : null;
  }

  /** Shows where something comes from: marks of maps (all without), rows and columns. */
  mark(marks) {
    if (!marks.length && !this.marks.length) return;
    this.marks = marks;
    this.paint();
  }
}

/** The rows of a network, as they are wanted on the page; their panels in the order of layers. */
function buildRows(layers, more, point) {
  const rows = [], panels = [];
  layers.forEach((layer, place) => {
    const goes_on = rows.length && BEGINS_NO_ROW.includes(layer.kind)
      && layer.sources.length === 1 && layer.sources[0] === place - 1;
    if (!goes_on) {
      const row = document.createElement("section"), title = document.createElement("h2");
      title.append(layer.path.replace(/\.(conv|affine)$/, "") || "the network");
      row.className = "row";
      row.ariaLabel = title.textContent;
      row.append(title, Object.assign(document.createElement("div"), { className: "panels" }));
      rows.push(row);
    }
    const panel = new Panel(layer, place, more);
    listenTo(panel, point);
    panels.push(panel);
    rows.at(-1).lastChild.append(panel.figure);
  });
  $("rows").replaceChildren(...rows);
  watch(panels);
  return panels;
}

function listenTo(panel, point) {
  const { canvas } = panel, at = (event) => panel.unitAt(event.offsetX, event.offsetY);
  canvas.onpointermove = (event) => { if (event.pointerType !== "touch") point(panel, at(event), false); };
  canvas.onpointerleave = (event) => { if (event.pointerType !== "touch") point(panel, null, false); };
  canvas.onclick = (event) => point(panel, at(event), true);
  canvas.onfocus = () => {
    if (canvas.matches(":focus-visible") && panel.array) point(panel, panel.at ?? [0, 0, 0], true);
  };
  canvas.onkeydown = (event) => {
    const next = panel.array && panel.moved(panel.at ?? [0, 0, 0], event.key);
    if (!next) return;
    event.preventDefault();
    point(panel, next, true);
  };
}

/** Panels are painted when they are seen, and anew when their width has changed. */
function watch(panels) {
  const of = new Map(panels.map((panel) => [panel.canvas, panel]));
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const panel = of.get(target);
      panel.visible = isIntersecting;
      if (isIntersecting && panel.stale) panel.paint();
    }
  }, { rootMargin: "200px" });
  const resized = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const panel = of.get(target);
      if (panel.room !== contentRect.width) {
        panel.room = contentRect.width;
        if (panel.array) panel.layOut();
        panel.paint();
      }
    }
  });
  panels.forEach((panel) => { seen.observe(panel.canvas); resized.observe(panel.canvas); });
}

/** Probabilities: the best beside the paper, all of them (or the best twelve) as the last row. */
function showClasses(probabilities, names) {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  const name = (i) => names[i] ?? `class ${i}`;
  const percent = (p) => p > 0.9995 && p < 1 ? ">99.9 %" : `${(100 * p).toFixed(1)} %`;
  $("classes").replaceChildren(...order.slice(0, 4).map((i) => {
    const line = document.createElement("li");
    line.innerHTML = "<i></i><span></span><span></span>";
    line.children[0].style.width = `${100 * probabilities[i]}%`;
    line.children[1].textContent = name(i);
    line.children[2].textContent = percent(probabilities[i]);
    return line;
  }));
  let row = $("probabilities");
  if (!row) {
    const section = document.createElement("section");
    section.className = "row";
    section.innerHTML = "<h2>softmax</h2><div id=probabilities></div>";
    $("rows").append(section);
    row = $("probabilities");
  }
  const shown = probabilities.length > 20 ? order.slice(0, 12) : [...probabilities.keys()];
  row.replaceChildren(...shown.map((i) => {
    const line = document.createElement("div");
    line.innerHTML = "<span></span><i></i><span></span>";
    line.children[0].textContent = name(i);
    line.children[1].style.width = `${100 * probabilities[i]}%`;
    line.children[2].textContent = percent(probabilities[i]);
    return line;
  }));
}
