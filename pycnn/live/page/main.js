// What happens when: the page as a whole.

const page = { classes: [], layers: [], panels: [], times: [], frames: 0 };
let asked = 0, flying = null, next = null, held = null, paper = null;

const numbers = new Numbers((message) => page.source.send(message));
const costs = new Costs((message) => page.source.send(message));
const training = new Training();

/** Asks for a frame; while one is on its way, the latest wish waits for it, and older ones go. */
function ask(header, arrays, begin = performance.now(), photo = false) {
  const wish = { header, arrays, begin, photo };
  if (flying) next = wish;
  else fly(wish);
}

function fly(wish) {
  const arrays = typeof wish.arrays === "function" ? wish.arrays() : wish.arrays;
  if (!page.source.send({ ...wish.header, frame: ++asked }, arrays)) return;
  flying = { ...wish, frame: asked };
  page.latest = wish;
  clearTimeout(page.slow);
  page.slow = setTimeout(() => say("computing…"), 400);
}

const drawn = (begin) => {
  press(-1);
  ask({ type: "pixels" }, () => ({ pixels: page.sent = paper.pixels() }), begin);
};
const chosen = (index) => { press(index); ask({ type: "sample", index }, {}, performance.now(), true); };

function press(index) {
  [...$("samples").children].forEach((b, i) => b.setAttribute("aria-pressed", i === index));
}

async function taken(file) {
  if (file.size > 15 * 2 ** 20) return trouble(`${file.name} has ${bytes(file.size)}; allowed: 15 MiB`);
  const values = new Uint8Array(await file.arrayBuffer());
  press(-1);
  ask({ type: "file" }, { data: { values, shape: [values.length] } }, performance.now(), true);
}

const say = (text) => { $("state").textContent = text; };

function trouble(text) {
  $("trouble").textContent = text ?? "";
  $("trouble").hidden = !text;
}

// --- what the server says ---------------------------------------------------------------------

const hear = ({ header, arrays }) => ({
  network: began, layers: described, frame: framed, layer: numbered, weights: numbered,
  time: ({ header }) => costs.time(header), error: ({ header }) => trouble(header.text),
  training: (news) => { numbers.forgetWeights(); training.show(news, page.classes); },
})[header.type]({ header, arrays });

const numbered = (message) => numbers.answer(message);

function began({ header, arrays }) {
  Object.assign(page, { classes: header.classes, input: header.input, about: header });
  document.title = `${header.name} · pycnn live`;
  $("name").textContent = header.name;
  $("about").textContent = `${header.parameters.toLocaleString("en")} parameters, input `
    + `${header.input.join("×")}${header.backend ? `, computed by pycnn on ${header.backend}` : ", recorded"}`;
  $("note").textContent = [header.note, header.why_none].filter(Boolean).join("; ");
  $("note").hidden = !$("note").textContent;
  showSamples(header.samples, arrays, chosen);
  costs.offer(header);
  const onlyLive = ["tools", "drop", "pooling", "activation"];
  if (!page.live) onlyLive.forEach((id) => { $(id).hidden = true; });
  if (!paper) {
    paper = new Paper(header.input, drawn);
    if (!page.live) paper.close();
  }
}

function described({ header: { layers } }) {
  page.layers = layers;
  numbers.forget();
  numbers.forgetWeights();
  held = null;
  page.panels = buildRows(layers, (layer, count) => page.source.send({ type: "more", layer, count }), point);
  costs.show(layers);
  if (!page.latest && page.about.samples.length) chosen(0);
}

function framed({ header, arrays }) {
  page.frames++;
  if (flying?.frame === header.frame) {
    clearTimeout(page.slow);
    const done = flying;
    flying = null;
    if (!header.failed) shown(header, arrays, done);
    const wish = next;
    next = null;
    if (wish) fly(wish);
  } else if (!header.failed && !flying) {
    shown(header, arrays, { begin: page.since });
    page.since = null;
  }
}

function shown(header, arrays, { begin, photo }) {
  trouble("");
  page.arrays = arrays;
  numbers.forget();
  if (photo) paper.put(arrays.photo);
  page.panels.forEach((panel, i) => panel.set(arrays[i], header.largest[i]));
  if (arrays.probabilities) showClasses(arrays.probabilities.values, page.classes);
  $("classes").hidden = !arrays.probabilities;
  page.photo = pictureOf(arrays.photo);
  see(null);
  if (page.pointed) point(page.pointed.panel, page.pointed.unit, Boolean(held));
  if (begin) requestAnimationFrame(() => {
    page.times.push(performance.now() - begin);
    if (page.live) say(`${page.times.at(-1).toFixed(0)} ms from stroke to bars, ${header.ms.toFixed(0)} ms in the network`);
  });
}

/** What the network sees, and in it what a unit sees. */
function see(field) {
  const canvas = $("seen"), context = sized(canvas, 104, 104), picture = page.photo;
  if (!picture) return;
  const scale = 104 / Math.max(picture.width, picture.height);
  const left = (104 - picture.width * scale) / 2, top = (104 - picture.height * scale) / 2;
  context.imageSmoothingEnabled = picture.width > 104;
  context.drawImage(picture, left, top, picture.width * scale, picture.height * scale);
  if (!field) return;
  const { rows: [a, b], columns: [c, d] } = field;
  frameAround(context, left + c * scale, top + a * scale, (d - c + 1) * scale, (b - a + 1) * scale, "#f0761f");
}

// --- pointing ---------------------------------------------------------------------------------

/** A unit is pointed at, or none; `hold` keeps it until another is held or Esc is pressed. */
async function point(panel, unit, hold) {
  if (held && !hold) return;
  if (!unit) {
    if (!hold) letGo();
    return;
  }
  held = hold ? panel : null;
  page.pointed = { panel, unit };
  panel.at = unit;
  const made = await explained(numbers, page.layers, panel.place, unit, page.input);
  if (page.pointed?.panel !== panel || page.pointed.unit !== unit) return;
  page.made = made;
  page.panels.forEach((other) => other.mark(marksOn(other, made)));
  see(made.field);
  describe(made);
}

function marksOn(panel, made) {
  const [map, row, column] = made.unit;
  if (panel.place === made.place) return [{ maps: [map], rows: [row, row], columns: [column, column] }];
  const isSource = panel.place === made.source || made.sources?.includes(panel.place);
  return isSource && made.window ? [{ maps: made.maps, ...made.window }] : [];
}

function describe(made, channel) {
  const words = inWords(made), told = $("told");
  $("unit").classList.add("shown");
  told.innerHTML = `<h2><span></span><span class=shape></span></h2><p class=value></p><p class=quiet></p>
    ${story(made, channel)}<p class="quiet field"></p>`;
  told.querySelector("h2 span").textContent = made.layer.path;
  told.querySelector("h2 .shape").textContent = words.where;
  told.querySelector(".value").textContent = words.number;
  told.querySelector(".quiet").textContent = [made.layer.text, words.window].filter(Boolean).join("; ");
  told.querySelector(".field").textContent = words.field;
  const choice = $("channel");
  if (choice) choice.onchange = () => describe(made, +choice.value);
  if (!$("edit").contains(document.activeElement)) {
    const editable = made.parts && held && page.live;
    $("edit").replaceChildren(...editable ? [editor(made, choice ? +choice.value : 0, edited)] : []);
  }
  if (held) $("spoken").textContent = [made.layer.path, words.where, words.number, words.window, words.field].join("; ");
}

/** Something in the network is another: what is computed anew counts from here. */
function change(message, arrays) {
  page.since = performance.now();
  numbers.forgetWeights();
  page.source.send(message, arrays);
}

function edited(made, values) {
  change({ type: "edit", layer: made.layer.path, filter: made.unit[0] }, { values });
  $("restore").hidden = false;
}

function letGo() {
  held = page.pointed = page.made = null;
  page.panels.forEach((panel) => panel.mark([]));
  $("unit").classList.remove("shown");
  see(null);
}

// --- the beginning ----------------------------------------------------------------------------

function connection(here) {
  flying = next = null;
  if (here) {
    trouble("");
    page.latest &&= null;
    say("connected");
  } else {
    trouble("The server is gone: nothing is computed any more. Start pycnn live again, and this page goes on.");
    say("not connected");
  }
}

function begin() {
  page.live = !document.querySelector("script[type='application/octet-stream']");
  takePhotos((file) => { if (page.live) taken(file); });
  listenToSwitches((choice) => change({ type: "changes", ...choice }));
  $("restore").onclick = () => {
    change({ type: "restore" });
    $("restore").hidden = true;
  };
  $("close").onclick = letGo;
  addEventListener("keydown", (event) => { if (event.key === "Escape") letGo(); });
  dark.onchange = () => {
    mixColours();
    page.panels.forEach((panel) => { panel.atlas = null; panel.paint(); });
  };
  page.source = page.live ? new Server(hear, connection) : new Recorded(hear);
  page.source.begin?.();
}
begin();
