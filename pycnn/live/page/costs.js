// The table of what each layer costs.

class Costs {
  constructor(ask) {
    this.ask = ask;
    this.times = {};
  }

  /** Buttons that ask for times: of the backends that are here, and of GPUs that are not. */
  offer({ backends, gpus }) {
    const buttons = backends.map((backend) =>
      this.button(`Measure on ${backend}`, () => this.begin(backend, { type: "times", backend })));
    if (gpus.length) {
      const choice = document.createElement("select");
      choice.ariaLabel = "GPU";
      gpus.forEach((gpu) => choice.add(new Option(gpu)));
      buttons.push(choice, this.button("Predict for this GPU", () =>
        this.begin(choice.value, { type: "predict", gpu: choice.value }, true)));
    }
    $("cost-tools").replaceChildren(...buttons);
    $("cost-tools").hidden = !buttons.length;
  }

  button(text, act) {
    return Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick: act });
  }

  begin(where, message, predicted = false) {
    $("cost-why").textContent = "";
    this.times[where] = { predicted, us: [], why: [] };
    this.draw();
    this.ask(message);
  }

  /** The time of a layer has come. */
  time({ layer, where, us, why }) {
    const column = this.times[where] ??= { us: [], why: [] };
    [column.us[layer], column.why[layer]] = [us, why];
    if (why) $("cost-why").textContent = `${this.layers[layer].path} on ${where}: ${why}`;
    this.draw();
  }

  show(layers) {
    this.layers = layers;
    this.times = {};
    this.draw();
  }

  draw() {
    const heads = ["layer", "kind", "result", "parameters", "multiply-adds", "forward", "backward",
      "kept", "sees", ...Object.entries(this.times).map(([where, { predicted }]) =>
        `${where}, µs${predicted ? " predicted" : ""}`)];
    const rows = this.layers.map((l, i) => [l.path, l.layer, l.shape.join("×"), count(l.parameters),
      count(l.macs), bytes(l.memory.forward), bytes(l.memory.backward), bytes(l.activation_bytes),
      seesText(l.field), ...Object.values(this.times).map(({ us, why }) =>
        us[i] != null ? us[i].toFixed(us[i] < 10 ? 1 : 0) : us.length > i ? "–" : "")]);
    const sum = (of) => this.layers.reduce((total, layer) => total + of(layer), 0);
    rows.push(["all", "", "", count(sum((l) => l.parameters)), count(sum((l) => l.macs)), "", "",
      bytes(sum((l) => l.activation_bytes)), "", ...Object.values(this.times).map(({ us }) =>
        us.filter((u) => u != null).reduce((a, b) => a + b, 0).toFixed(0))]);
    const table = $("cost-table");
    table.replaceChildren();
    const head = table.insertRow();
    heads.forEach((text) => head.append(Object.assign(document.createElement("th"), { textContent: text, scope: "col" })));
    rows.forEach((cells, i) => {
      const line = table.insertRow();
      cells.forEach((text, c) => {
        const cell = line.insertCell();
        cell.textContent = text;
        cell.title = Object.values(this.times)[c - 9]?.why[i] ?? "";
      });
    });
  }
}

const count = (n) => n ? n.toLocaleString("en") : "";
const bytes = (n) => !n ? "" : n < 1024 ? `${n} B` : n < 2 ** 20 ? `${(n / 1024).toPrecision(3)} KiB`
  : `${(n / 2 ** 20).toPrecision(3)} MiB`;
const seesText = (field) => field === "all" ? "all" : field ? field.map((f) => f[2]).join("×") : "?";
