// Changing the network: another pooling, another activation, a filter of one's own.

const PRESETS = {
  zeros: () => 0,
  identity: (r, c, R, C) => +(r === R >> 1 && c === C >> 1),
  mean: (r, c, R, C) => 1 / (R * C),
  "edge |": (r, c, R, C) => Math.sign(c - (C - 1) / 2) / R,
  "edge –": (r, c, R) => Math.sign(r - (R - 1) / 2) / R,
  opposite: null,
};

/** The filter of a unit that is held, to be typed over; `send` is told the whole new filter. */
function editor(made, channel, send) {
  const box = document.createElement("details"), columns = made.columns.length;
  box.id = "editor";
  box.open = editor.open;
  box.ontoggle = () => { editor.open = box.open; };
  box.innerHTML = "<summary>Edit this filter</summary><div class=tools></div><div></div>";
  const values = [...made.filter(channel)];
  const rows = values.length / columns, cells = document.createElement("table");
  cells.className = "numbers";
  const tell = () => {
    const whole = Float32Array.from(made.maps.flatMap((_, c) =>
      c === channel ? values : [...made.filter(c)]));
    send(made, { values: whole, shape: made.layer.filter });
  };
  for (let r = 0; r < rows; r++) {
    const line = cells.insertRow();
    for (let c = 0; c < columns; c++) {
      const cell = line.insertCell(), entry = document.createElement("input");
      const i = r * columns + c;
      cell.style = shadeCss(values[i], most(values));
      entry.type = "number";
      entry.step = "any";
      entry.value = +values[i].toPrecision(3);
      entry.ariaLabel = `weight, row ${r}, column ${c}`;
      entry.oninput = () => {
        if (entry.value === "" || !Number.isFinite(+entry.value)) return;
        values[i] = +entry.value;
        cell.style = shadeCss(values[i], most(values));
        tell();
      };
      cell.append(entry);
    }
  }
  for (const [name, rule] of Object.entries(PRESETS)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.onclick = () => {
      values.forEach((v, i) => {
        values[i] = rule ? rule(Math.floor(i / columns), i % columns, rows, columns) : -v;
        const entry = cells.rows[Math.floor(i / columns)].cells[i % columns];
        entry.style = shadeCss(values[i], Math.max(1e-9, ...values.map(Math.abs)));
        entry.firstChild.value = +values[i].toPrecision(3);
      });
      tell();
    };
    box.children[1].append(button);
  }
  box.lastChild.append(cells);
  return box;
}

/** The switches of pooling and activation; `send` is told the choice. */
function listenToSwitches(send) {
  const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
  for (const name of ["pooling", "activation"]) {
    $(name).onchange = () => send({ pooling: chosen("pooling"), activation: chosen("activation") });
  }
}
