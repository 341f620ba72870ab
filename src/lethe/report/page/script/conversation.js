// Questions, the answers of the data, and what each run says, one example at a time.
function bubble(kind, who, text, note) {
  const box = Object.assign(document.createElement("div"), { className: `bubble ${kind}` });
  box.append(Object.assign(document.createElement("b"), { textContent: who }));
  if (text !== null) box.append(Object.assign(document.createElement("p"), { textContent: text }));
  if (note) box.append(Object.assign(document.createElement("small"), { textContent: note }));
  return box;
}

function startConversation(place) {
  const of = DATA.conversations[place.dataset.conversation];
  const [box, select] = selectOf("example", of.examples.map(({ id, set }, i) => [i, `${id} (${set})`]));
  const controls = Object.assign(document.createElement("div"), { className: "controls" });
  const talk = Object.assign(document.createElement("div"), { className: "talk" });
  talk.setAttribute("aria-live", "polite");
  const step = (text, by) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    button.addEventListener("click", () => {
      select.value = (Number(select.value) + by + of.examples.length) % of.examples.length;
      place.draw();
    });
    return button;
  };
  controls.append(step("‹ previous", -1), box, step("next ›", 1));
  place.replaceChildren(controls, talk);
  place.draw = () => {
    const example = of.examples[Number(select.value)];
    const scores = (run) => of.metrics.map(({ title }, i) => `${title} ${shown(run.scores[i])}`).join(", ");
    talk.replaceChildren(
      bubble("asked", `question, ${example.id}`, example.question ?? null, of.text ? "" : "texts are not shown (report.show_text)"),
      bubble("true", "the answer of the data", example.answer ?? null, ""),
      ...example.runs.filter(({ name }) => !hidden.method.has(name))
        .map((run) => bubble("said", run.name, run.said ?? null, scores(run))));
  };
  select.addEventListener("change", place.draw);
  place.draw();
}

function conversationsAnew() {
  for (const place of document.querySelectorAll(".conversation")) {
    if (place.draw) place.draw();
    else startConversation(place);
  }
}
