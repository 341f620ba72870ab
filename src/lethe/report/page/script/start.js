// All parts of the page.
function anew() {
  figuresAnew();
  heatAnew();
  conversationsAnew();
}

startTheme(anew);
startTables();
startChoice(anew);
anew();

// A link into a closed part opens it; on paper all parts are open and all figures drawn.
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();

addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("main details:not(.plot details):not([hidden])")) {
    part.dataset.closed = part.open ? "" : "yes";
    part.open = true;
  }
  for (const place of document.querySelectorAll(".plot:not([data-drawn])")) drawFigure(place);
  for (const place of document.querySelectorAll(".heat")) if (!place.draw) startHeat(place);
});
addEventListener("afterprint", () => {
  for (const part of document.querySelectorAll("main details[data-closed=yes]")) part.open = false;
});
root.dataset.ready = "yes";
