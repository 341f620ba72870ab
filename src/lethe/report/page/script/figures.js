// Figures from their data, drawn when they come into view; values show on hover, and all of them as a table.
const SYMBOLS = { o: "circle", s: "square", D: "diamond", "*": "star", "^": "triangle", v: "wye", P: "cross", X: "times",
  "<": "asterisk", ">": "plus", h: "square2" };
const STROKED = new Set(["times", "asterisk", "plus", "square2"]);
const waiting = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { waiting.unobserve(entry.target); drawFigure(entry.target); }
}, { rootMargin: "400px" });

function inTheme(colour) {
  if (!isDark()) return colour;
  const { l } = d3.lab(colour);
  return l < 15 ? "#ffffff" : d3.interpolateLab(colour, "#ffffff")(l < 60 ? 0.35 : 0.1);
}

function shown(value) {
  return value === null || value === undefined ? "–" : String(value).replace("-", "−");
}

function panelsOf(place) {
  const only = place.dataset.run;
  return DATA.figures[place.dataset.figure]
    .filter((panel) => !(panel.run && (hidden.method.has(panel.run) || (only && panel.run !== only))))
    .map((panel) => ({ ...panel, marks: (panel.marks ?? []).filter((mark) =>
      !(mark.run && (hidden.method.has(mark.run) || (only && mark.run !== only)))) }));
}

function pointsOf(panel) {
  return panel.marks.filter((mark) => mark.x && mark.name).flatMap((mark) => mark.x.map((x, i) => ({ x, y: mark.y[i], mark }))
    .filter((point) => point.x !== null && point.y !== null));
}

function scaleOf(axis, extra) {
  const scale = { domain: axis.limits, label: null, type: axis.log ? "log" : "linear", ...extra };
  if (axis.bare) return { ...scale, axis: null };
  const plain = (value) => "125".includes(value.toExponential()[0]) ? String(Number(value.toPrecision(2))) : "";
  if (!axis.ticks) return axis.log ? { ...scale, tickFormat: plain } : { ...scale, ticks: 5 };
  const names = new Map(axis.ticks);
  return { ...scale, ticks: [...names.keys()], tickFormat: (value) => names.get(value) ?? "" };
}

function unlabelled(index, scales, values, size, context, next) {
  const tip = next(index, scales, values, size, context);
  tip?.removeAttribute("aria-label");
  return tip;
}

function drawPanel(panel, shared, width) {
  const { x, y } = panel;
  const up = y.label ?? shared ?? panel.title ?? "";
  const across = x.label ?? "";
  const data = (mark) => mark.x.map((value, i) => ({ x: value, y: mark.y[i] }));
  const marks = [x.bare ? null : Plot.gridX({ strokeOpacity: 0.12 }), y.bare ? null : Plot.gridY({ strokeOpacity: 0.12 })];
  for (const band of panel.bands ?? []) {
    const sides = band.x ? { x1: band.x[0], x2: band.x[1], y1: y.limits[0], y2: y.limits[1] }
      : { x1: x.limits[0], x2: x.limits[1], y1: band.y[0], y2: band.y[1] };
    marks.push(Plot.rect([sides], { x1: "x1", x2: "x2", y1: "y1", y2: "y2", fill: inTheme(band.colour), fillOpacity: 0.14,
      clip: true }));
  }
  for (const mark of panel.marks) {
    const colour = inTheme(mark.colour);
    if (mark.at) {
      const rule = mark.at.x !== undefined ? Plot.ruleX([mark.at.x], { stroke: colour, clip: true })
        : Plot.ruleY([mark.at.y], { stroke: colour, clip: true });
      marks.push(rule);
      continue;
    }
    if (mark.width) {
      marks.push(Plot.line(data(mark), { x: "x", y: "y", stroke: colour, strokeWidth: mark.width, clip: true,
        strokeOpacity: mark.faint ?? 1, strokeDasharray: mark.dashed ? "4 3" : undefined,
        curve: mark.steps ? "step-after" : "linear" }));
    }
    if (mark.marker) {
      const symbol = SYMBOLS[mark.marker] ?? "circle";
      const ink = STROKED.has(symbol) ? { stroke: colour, strokeWidth: 2 }
        : { fill: colour, fillOpacity: mark.faint ?? 1, stroke: mark.size > 6 ? "var(--paper)" : "none" };
      marks.push(Plot.dot(data(mark), { x: "x", y: "y", symbol, r: Math.max(1.5, mark.size * 0.55), ...ink }));
    }
  }
  marks.push(Plot.tip(pointsOf(panel), Plot.pointer({ x: "x", y: "y", maxRadius: 30, fill: "var(--paper)", stroke: "var(--line)", render: unlabelled,
    title: ({ x: a, y: b, mark }) => x.bare ? mark.name : `${mark.name}\n${across || "x"}: ${shown(a)}\n${up || "y"}: ${shown(b)}` })));
  const drawn = Plot.plot({ width, height: x.bare ? width : Math.round(width * 0.72), marginLeft: 46, marginRight: 14,
    ariaLabel: [panel.title, across && up && !x.bare ? `${up} against ${across}` : ""].filter(Boolean).join(": "),
    style: { background: "transparent", color: "inherit", fontSize: "11px" },
    x: scaleOf(x, {}), y: scaleOf(y, {}), marks: marks.filter(Boolean) });
  drawn.setAttribute("role", "img");
  for (const group of drawn.querySelectorAll("g[aria-label]")) group.removeAttribute("aria-label");
  const box = document.createElement("div");
  box.className = "panel";
  const words = (tag, text) => { const made = document.createElement(tag); made.textContent = text; box.append(made); };
  if (panel.title) words("strong", panel.title);
  if (up && !y.bare && up !== panel.title) words("span", up);
  box.append(drawn);
  if (across && !x.bare) { words("span", across); box.lastChild.className = "across"; }
  return box;
}

function legend(panels) {
  const seen = new Map();
  for (const { marks } of panels) for (const mark of marks) {
    const name = mark.run ?? mark.name?.split(",")[0];
    if (!name || mark.at || mark.faint && !mark.width && seen.has(name)) continue;
    const known = seen.get(name);
    if (!known || (mark.marker && !known.marker) || (mark.size ?? 0) > (known.size ?? 0)) seen.set(name, { ...mark, name });
  }
  const list = document.createElement("ul");
  list.className = "legend";
  for (const mark of seen.values()) {
    const item = document.createElement("li");
    const colour = inTheme(mark.colour);
    const symbol = SYMBOLS[mark.marker];
    const d = symbol ? d3.symbol(d3[`symbol${symbol[0].toUpperCase()}${symbol.slice(1)}`], 60)() : "M-7,0H7";
    item.innerHTML = `<svg width="18" height="14" viewBox="-9 -7 18 14" aria-hidden="true"><path></path></svg>`;
    const path = item.querySelector("path");
    path.setAttribute("d", d);
    path.setAttribute("style", !symbol || STROKED.has(symbol) ? `stroke:${colour};stroke-width:2;fill:none` : `fill:${colour}`);
    item.append(mark.name);
    list.append(item);
  }
  return list;
}

function valuesTable(panels) {
  const table = document.createElement("table");
  const row = (cells, tag) => {
    const made = document.createElement("tr");
    for (const text of cells) made.append(Object.assign(document.createElement(tag), { textContent: text }));
    return made;
  };
  const head = table.createTHead();
  head.append(row(["panel", "what", "x", "y"], "th"));
  const body = table.createTBody();
  for (const panel of panels) for (const { x, y, mark } of pointsOf(panel))
    body.append(row([panel.title ?? panel.y.label ?? "", mark.name, shown(x), shown(y)], "td"));
  return table;
}

function drawFigure(place) {
  const panels = panelsOf(place);
  const wide = Math.max(280, place.clientWidth);
  const columns = Math.max(1, Math.min(panels.length, Math.floor(wide / 290), 4));
  const width = Math.min(460, Math.floor((wide - 16 * (columns - 1)) / columns));
  const grid = document.createElement("div");
  grid.className = "panels";
  const shared = panels[0]?.y.label;
  grid.append(...panels.map((panel) => drawPanel(panel, shared, width)));
  const values = document.createElement("details");
  values.append(Object.assign(document.createElement("summary"), { textContent: "Values" }));
  values.addEventListener("toggle", () => {
    if (values.children.length > 1) return;
    const scroll = Object.assign(document.createElement("div"), { className: "scroll values", tabIndex: 0 });
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", "Values of the figure");
    scroll.append(valuesTable(panels));
    values.append(scroll);
  });
  place.replaceChildren(grid, legend(panels), values);
  place.dataset.drawn = "yes";
}

function figuresAnew() {
  for (const place of document.querySelectorAll(".plot")) {
    if (place.dataset.drawn) drawFigure(place);
    else waiting.observe(place);
  }
}
