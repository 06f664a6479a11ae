// The paper: strokes, photos and samples, and the pixels of them that the network is given.

const $ = (id) => document.getElementById(id);

class Paper {
  /** `changed` is told of every stroke; `input` is the shape that the network takes. */
  constructor(input, changed) {
    [this.channels, this.height, this.width] = input;
    this.canvas = $("paper");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.changed = changed;
    this.canvas.style.aspectRatio = `${this.width} / ${this.height}`;
    this.canvas.height = Math.round(this.canvas.width * this.height / this.width);
    this.colour = this.channels === 3;
    $("ink-label").hidden = !this.colour;
    $("centre-label").hidden = this.colour || Math.max(this.height, this.width) > 32;
    this.clear();
    this.listen();
  }

  listen() {
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * this.canvas.width / box.width,
        (event.clientY - box.top) * this.canvas.height / box.height];
    };
    this.canvas.onpointerdown = (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.last = place(event);
      this.stroke(this.last);
    };
    this.canvas.onpointermove = (event) => {
      if (!this.last) return;
      for (const one of event.getCoalescedEvents?.() ?? [event]) this.stroke(place(one), false);
      this.changed(event.timeStamp);
    };
    this.canvas.onpointerup = this.canvas.onpointercancel = () => { this.last = null; };
    $("clear").onclick = () => { this.clear(); this.changed(performance.now()); };
    $("centre").onchange = () => this.changed(performance.now());
  }

  /** Nothing can be drawn: nobody computes. */
  close() {
    Object.assign(this.canvas, { onpointerdown: null, onpointermove: null, tabIndex: -1 });
    this.canvas.ariaLabel = "The input";
    this.canvas.style.cursor = "default";
    $("hint").hidden = true;
  }

  clear() {
    this.context.fillStyle = this.colour ? "#fff" : "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.drawn = false;
    $("hint").hidden = false;
  }

  /** A line from where the pen was. */
  stroke([x, y], tell = true) {
    const context = this.context;
    $("hint").hidden = true;
    context.strokeStyle = this.colour ? $("ink").value : "#fff";
    context.lineWidth = $("pen").value / 100 * this.canvas.width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...this.last);
    context.lineTo(x, y + 0.01);
    context.stroke();
    this.last = [x, y];
    this.drawn = true;
    if (tell) this.changed(performance.now());
  }

  /** Shows pixels, to be drawn over. */
  put(photo) {
    this.context.imageSmoothingEnabled = this.colour;
    this.context.drawImage(pictureOf(photo), 0, 0, this.canvas.width, this.canvas.height);
    $("hint").hidden = true;
    this.drawn = false;
  }

  /** The pixels as the network takes them, uint8 (C, H, W). */
  pixels() {
    const small = new OffscreenCanvas(this.width, this.height);
    const context = small.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.fillStyle = this.colour ? "#fff" : "#000";
    context.fillRect(0, 0, this.width, this.height);
    const whole = [0, 0, this.canvas.width, this.canvas.height];
    const centre = this.drawn && !$("centre-label").hidden && $("centre").checked;
    const [from, to] = (centre && this.centred()) || [whole, [0, 0, this.width, this.height]];
    context.drawImage(this.canvas, ...from, ...to);
    const { data } = context.getImageData(0, 0, this.width, this.height);
    const plane = this.width * this.height, values = new Uint8Array(this.channels * plane);
    for (let i = 0; i < plane; i++) {
      for (let c = 0; c < this.channels; c++) values[c * plane + i] = data[4 * i + c];
    }
    return { values, shape: [this.channels, this.height, this.width] };
  }

  /** From where to where ink goes so that it is as MNIST's: 20 of 28 pixels, about its middle. */
  centred() {
    const { width, height } = this.canvas, { data } = this.context.getImageData(0, 0, width, height);
    let [left, top, right, bottom, mass, x, y] = [width, height, -1, -1, 0, 0, 0];
    for (let row = 0, i = 0; row < height; row++) {
      for (let column = 0; column < width; column++, i += 4) {
        const ink = data[i];
        if (!ink) continue;
        left = Math.min(left, column); right = Math.max(right, column);
        top = Math.min(top, row); bottom = row;
        mass += ink; x += ink * column; y += ink * row;
      }
    }
    if (!mass) return null;
    const [w, h] = [right - left + 1, bottom - top + 1];
    const scale = Math.min(20 / 28 * this.width / w, 20 / 28 * this.height / h);
    const at = [this.width / 2 - scale * (x / mass + 0.5 - left),
      this.height / 2 - scale * (y / mass + 0.5 - top)];
    return [[left, top, w, h], [...at, w * scale, h * scale]];
  }
}

/** The samples as buttons; `choose` is told the number of one. */
function showSamples(names, arrays, choose) {
  $("samples").replaceChildren(...names.map((name, i) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    const { shape: [, height, width] } = arrays[`sample${i}`];
    [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").drawImage(pictureOf(arrays[`sample${i}`]), 0, 0);
    button.type = "button";
    button.title = button.ariaLabel = `Sample ${name}`;
    button.append(canvas);
    button.onclick = () => choose(i);
    return button;
  }));
}

/** Photos that are dropped anywhere, pasted or chosen go to `take` as files. */
function takePhotos(take) {
  $("file").onchange = () => { if ($("file").files[0]) take($("file").files[0]); $("file").value = ""; };
  addEventListener("dragover", (event) => { event.preventDefault(); $("pad").classList.add("over"); });
  addEventListener("dragleave", () => $("pad").classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("pad").classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files[0]) take(event.clipboardData.files[0]);
  });
}
