// Tables sort by a click on, or Enter in, the head of a column: up, down, then as they were.
const ORDERS = ["ascending", "descending", "none"];

function valueOf(text) {
  const plain = text.replace(/[,\s]/g, "").replace(/−/g, "-").replace(/^[✓✗?±]/, "");
  const found = plain.match(/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?/i);
  return found ? Number(found[0]) : null;
}

function compared(one, other) {
  if (one === "–" || other === "–") return (one === "–") - (other === "–");
  const [a, b] = [valueOf(one), valueOf(other)];
  return a !== null && b !== null ? a - b : one.localeCompare(other);
}

function sorted(table, column, order) {
  const body = table.tBodies[0];
  body.before_ ??= [...body.rows];
  const rows = [...body.before_];
  if (order !== "none") {
    const sign = order === "ascending" ? 1 : -1;
    const text = new Map(rows.map((row) => [row, row.cells[column].textContent.trim()]));
    rows.sort((a, b) => {
      const [one, other] = [text.get(a), text.get(b)];
      return (one === "–" || other === "–" ? 1 : sign) * compared(one, other);
    });
  }
  body.append(...rows);
}

function startTables() {
  for (const table of document.querySelectorAll("table")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const order = ORDERS[(ORDERS.indexOf(head.getAttribute("aria-sort") ?? "none") + 1) % 3];
        for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
        if (order !== "none") head.setAttribute("aria-sort", order);
        sorted(table, column, order);
      });
    });
  }
}
