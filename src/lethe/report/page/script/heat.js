// Heat maps: forget examples by runs, a colour for each value; hover or arrow keys say which example and which value.
const MISSING = 255;
const approaching = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { approaching.unobserve(entry.target); startHeat(entry.target); }
}, { rootMargin: "400px" });

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function selectOf(label, options) {
  const box = document.createElement("label");
  const select = document.createElement("select");
  for (const [value, text] of options) select.append(new Option(text, value));
  box.append(`${label} `, select);
  return [box, select];
}

function startHeat(place) {
  const of = DATA.heat[place.dataset.heat];
  const [metricBox, metric] = selectOf("shown", of.metrics.map(({ key, title }) => [key, title]));
  const [seedBox, seed] = selectOf("seed", Object.keys(of.seeds).map((name) => [name, name]));
  const canvas = Object.assign(document.createElement("canvas"), { tabIndex: 0 });
  const said = Object.assign(document.createElement("p"), { className: "note said" });
  said.setAttribute("aria-live", "polite");
  canvas.setAttribute("role", "img");
  const controls = Object.assign(document.createElement("div"), { className: "controls" });
  controls.append(metricBox, seedBox);
  const scroll = Object.assign(document.createElement("div"), { className: "scroll" });
  scroll.append(canvas);
  place.replaceChildren(controls, scroll, said);
  const state = { at: [0, 0] };
  place.draw = () => drawHeat(place, of, metric.value, seed.value, canvas, said, state);
  metric.addEventListener("change", place.draw);
  seed.addEventListener("change", place.draw);
  canvas.addEventListener("mousemove", (event) => {
    const box = canvas.getBoundingClientRect();
    state.tell(state.column(event.clientX - box.left), state.row(event.clientY - box.top));
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    state.tell(state.at[0] + step[0], state.at[1] + step[1]);
  });
  place.draw();
}

function drawHeat(place, of, key, seed, canvas, said, state) {
  const { title, low, high } = of.metrics.find((metric) => metric.key === key);
  const { ids, values } = of.seeds[seed];
  const found = bytes(values[key]);
  const only = place.dataset.run;
  const runs = of.runs.map((name, index) => ({ name, index }))
    .filter(({ name }) => !hidden.method.has(name) && (!only || name === only || of.references.includes(name)));
  const named = ids.length <= 64;
  const [top, left] = [92, named ? 130 : 14];
  const cell = Math.max(16, Math.min(60, Math.floor(620 / runs.length)));
  const rise = named ? 14 : Math.max(2, Math.floor(700 / ids.length));
  const [width, height] = [left + cell * runs.length + 60, top + rise * ids.length + 4];
  const sharp = devicePixelRatio || 1;
  Object.assign(canvas, { width: width * sharp, height: height * sharp });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const ink = canvas.getContext("2d");
  ink.scale(sharp, sharp);
  const paint = getComputedStyle(root);
  ink.fillStyle = paint.getPropertyValue("--ink");
  ink.font = "11px system-ui, sans-serif";
  runs.forEach(({ name }, i) => {
    ink.save();
    ink.translate(left + cell * (i + 0.5), top - 6);
    ink.rotate(-Math.PI / 4);
    ink.fillText(name, 0, 0);
    ink.restore();
  });
  ids.forEach((id, j) => {
    if (named) ink.fillText(id, 2, top + rise * j + 11, left - 8);
    runs.forEach(({ index }, i) => {
      const level = found[index * ids.length + j];
      if (level === MISSING) return;
      ink.fillStyle = d3.interpolateViridis(level / 254);
      ink.fillRect(left + cell * i, top + rise * j, cell - 1, rise > 4 ? rise - 1 : rise);
    });
    ink.fillStyle = paint.getPropertyValue("--ink");
  });
  canvas.setAttribute("aria-label", `${title} of ${ids.length} forget examples, seed ${seed}, under ${runs.length} runs; `
    + "arrow keys go from one to the next");
  said.textContent = `${title}: dark is ${low}, bright is ${high}.` + (of.all > ids.length
    ? ` ${ids.length} of ${of.all} examples, those that the original remembers best.` : "");
  state.column = (x) => Math.floor((x - left) / cell);
  state.row = (y) => Math.floor((y - top) / rise);
  state.tell = (column, row) => {
    if (column < 0 || row < 0 || column >= runs.length || row >= ids.length) return;
    state.at = [column, row];
    const level = found[runs[column].index * ids.length + row];
    const value = level === MISSING ? "none" : (low + (high - low) * level / 254).toFixed(2);
    said.textContent = `${ids[row]}, ${runs[column].name}, seed ${seed}: ${title} ${value}`;
  };
}

function heatAnew() {
  for (const place of document.querySelectorAll(".heat")) {
    if (place.draw) place.draw();
    else approaching.observe(place);
  }
}
