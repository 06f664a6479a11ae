// Training as it goes: curves, filters of the first convolution, and mistakes.

class Training {
  /** News of it: {epoch, epochs, step, steps, losses, history, mistakes} and arrays. */
  show({ header, arrays }, classes) {
    $("training").hidden = false;
    $("progress").textContent = header.text;
    this.curves(header.losses, header.history);
    if (arrays.filters) this.filters(arrays.filters);
    if (header.mistakes) this.mistakes(header, arrays, classes);
  }

  /** Loss of every part of an epoch as a line, of the tests as dots; accuracy below. */
  curves(losses, history) {
    const canvas = $("curves"), width = canvas.clientWidth || 300, height = 170;
    const context = sized(canvas, width, height), top = Math.max(0.1, ...losses.map(([, l]) => l));
    const end = Math.max(1, losses.at(-1)?.[0] ?? 1);
    const at = (epoch, value, most) => [6 + (width - 12) * epoch / end, height - 8 - (height - 16) * value / most];
    const line = (points, ink) => {
      context.strokeStyle = context.fillStyle = ink;
      context.lineWidth = 2;
      context.beginPath();
      points.forEach((p) => context.lineTo(...p));
      context.stroke();
    };
    context.fillStyle = INK.line;
    context.fillRect(0, height - 8, width, 1);
    line(losses.map(([e, l]) => at(e, l, top)), "#3f7fcf");
    line(history.map((h) => at(h.epoch, h.test_accuracy, 1)), INK.accent);
    for (const h of history) {
      context.beginPath();
      context.arc(...at(h.epoch, h.test_accuracy, 1), 3, 0, 7);
      context.fill();
    }
    const test = history.at(-1);
    $("curves-text").textContent = `Blue: training loss, ${number(losses.at(-1)?.[1] ?? 0)} now. `
      + (test ? `Orange: test accuracy, ${(100 * test.test_accuracy).toFixed(1)} %.` : "");
  }

  filters(array) {
    const [count, channels, height, width] = array.shape, canvas = $("filters");
    const one = { values: array.values, shape: [count * channels, height, width] };
    const room = canvas.clientWidth || 300, shown = Math.min(64, count * channels);
    const grid = gridOf(shown, height, width, room), largest = most(array.values);
    const context = sized(canvas, room, grid.rows * (grid.cellHeight + 6) - 6), atlas = atlasOf(one, largest);
    for (let i = 0; i < shown; i++) {
      context.drawImage(atlas, 0, i * height, width, height, i % grid.columns * (grid.cellWidth + 6),
        Math.floor(i / grid.columns) * (grid.cellHeight + 6), grid.cellWidth, grid.cellHeight);
    }
  }

  mistakes({ mistakes, wrong, tested }, arrays, classes) {
    $("mistakes-text").textContent = `${wrong} mistakes in ${tested} test images: the truth, and what it says`;
    $("mistakes").replaceChildren(...mistakes.map(([truth, said], i) => {
      const figure = document.createElement("div"), canvas = document.createElement("canvas");
      const photo = arrays[`mistake${i}`], [, height, width] = photo.shape;
      [canvas.width, canvas.height] = [width, height];
      canvas.getContext("2d").drawImage(pictureOf(photo), 0, 0);
      figure.append(canvas, `${classes[truth] ?? truth} → ${classes[said] ?? said}`);
      return figure;
    }));
  }
}
