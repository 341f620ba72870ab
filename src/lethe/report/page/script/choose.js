// Which methods and which metrics are shown, in tables, figures and parts of methods alike.
const hidden = { method: new Set(), metric: new Set() };

function named(cell) {
  return cell.textContent.replace(/[↑↓≈]/g, "").replace(/\u00a0/g, " ").trim();
}

function applyChoice() {
  for (const table of document.querySelectorAll("main table")) {
    const heads = [...table.tHead.rows[0].cells];
    const gone = heads.map((head, i) => i > 0 && (hidden.method.has(named(head)) || hidden.metric.has(named(head))));
    for (const row of table.rows) {
      const first = named(row.cells[0]);
      row.hidden = row.parentNode === table.tBodies[0] && (hidden.method.has(first) || hidden.metric.has(first));
      gone.forEach((absent, i) => { row.cells[i].hidden = absent; });
    }
  }
  for (const part of document.querySelectorAll("[data-method]")) part.hidden = hidden.method.has(part.dataset.method);
}

function startChoice(changed) {
  const box = document.getElementById("choose");
  box.addEventListener("change", (event) => {
    const { name, value, checked } = event.target;
    if (checked) hidden[name].delete(value);
    else hidden[name].add(value);
    applyChoice();
    changed();
  });
  for (const button of box.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      for (const input of box.querySelectorAll(`input[name=${button.dataset.of}]`)) {
        input.checked = button.dataset.to === "all";
        if (input.checked) hidden[input.name].delete(input.value);
        else hidden[input.name].add(input.value);
      }
      applyChoice();
      changed();
    });
  }
}
