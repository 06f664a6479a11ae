// Maps and bars in colours: blue below zero, orange above, each layer from its largest magnitude.

const dark = matchMedia("(prefers-color-scheme: dark)");
const COLD = [[106, 158, 219], [31, 95, 180]], WARM = [[240, 160, 97], [201, 84, 10]];
const COLD_LIGHTS = [[38, 94, 168], [138, 190, 255]], WARM_LIGHTS = [[176, 74, 14], [255, 186, 120]];
let COLOURS, INK;

/** 511 colours from the largest negative magnitude over zero to the largest positive one. */
function mixColours() {
  const styles = getComputedStyle(document.documentElement);
  INK = Object.fromEntries(["ink", "line", "accent"].map((n) => [n, styles.getPropertyValue(`--${n}`)]));
  const zero = dark.matches ? [32, 38, 45] : [242, 243, 244];
  const mix = (a, b, t) => a.map((v, i) => Math.round(v + (b[i] - v) * t));
  COLOURS = new Uint32Array(511);
  for (let i = -255; i <= 255; i++) {
    const t = (Math.abs(i) / 255) ** 0.75, [middle, full] = i < 0 ? (dark.matches ? COLD_LIGHTS : COLD) : dark.matches ? WARM_LIGHTS : WARM;
    const [r, g, b] = t < 0.5 ? mix(zero, middle, 2 * t) : mix(middle, full, 2 * t - 1);
    COLOURS[i + 255] = 0xff000000 | (b << 16) | (g << 8) | r;
  }
}
mixColours();

const shade = (value, largest) =>
  COLOURS[255 + Math.max(-255, Math.min(255, Math.round(255 * value / (largest || 1)))) | 0];

/** The same as CSS, and a text colour that can be read on it. */
function shadeCss(value, largest) {
  const c = shade(value, largest), [r, g, b] = [c & 255, (c >> 8) & 255, (c >> 16) & 255];
  const light = 0.3 * r + 0.59 * g + 0.11 * b > 140;
  return `background:rgb(${r},${g},${b});color:${light ? "#14181d" : "#fff"}`;
}

/** A number, short. */
function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1000 && size < 1e5) return value.toFixed(0);
  return size >= 1e5 || size < 0.001 ? value.toExponential(1) : value.toPrecision(3);
}

/** An offscreen canvas that has all maps, one below the other. */
function atlasOf({ values, shape: [count, height, width] }, largest) {
  const atlas = new OffscreenCanvas(width, count * height);
  const pixels = new Uint32Array(values.length), scale = 255 / (largest || 1);
  for (let i = 0; i < values.length; i++) {
    const step = Math.max(-255, Math.min(255, Math.round(values[i] * scale))) | 0;
    pixels[i] = COLOURS[255 + step];
  }
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), width, count * height);
  atlas.getContext("2d").putImageData(image, 0, 0);
  return atlas;
}

/** An offscreen canvas of uint8 pixels (C, H, W). */
function pictureOf({ values, shape: [channels, height, width] }) {
  const picture = new OffscreenCanvas(width, height), image = new ImageData(width, height);
  for (let i = 0, plane = width * height; i < plane; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = values[(channels === 3 ? c : 0) * plane + i];
    image.data[4 * i + 3] = 255;
  }
  picture.getContext("2d").putImageData(image, 0, 0);
  return picture;
}

/** Makes a canvas as sharp as the screen; its context draws in CSS pixels. */
function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.imageSmoothingEnabled = false;
  return context;
}

/** Columns and size of maps of this many and this extent in so much width. */
function gridOf(count, height, width, room) {
  const most = Math.max(1, Math.floor((room + 6) / 46));
  const wanted = Math.max(Math.ceil(Math.sqrt(count)), Math.floor((room + 6) / 96));
  const rows = Math.ceil(count / Math.min(count, most, wanted));
  const columns = Math.ceil(count / rows);
  const scale = Math.min((room - 6 * (columns - 1)) / columns, 96) / Math.max(height, width);
  return { columns, rows, cellWidth: width * scale, cellHeight: height * scale, scale };
}

/** The frame around some rows and columns of a map, inside it. */
function frameAround(context, left, top, width, height, ink) {
  context.lineWidth = 3;
  context.strokeStyle = dark.matches ? "#000c" : "#fffc";
  context.strokeRect(left, top, width, height);
  context.lineWidth = 1.6;
  context.strokeStyle = ink;
  context.strokeRect(left, top, width, height);
}

