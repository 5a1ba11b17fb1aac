// Plays a recorded stream at the pace at which it came. Without it: a plain table.
for (const figure of document.querySelectorAll(".wire")) {
  const rows = [...figure.querySelectorAll("tbody tr")];
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const said = document.createElement("p");
  const bar = document.createElement("div");
  let shown = rows.length, timer = null;

  const show = (count) => {
    shown = count;
    rows.forEach((row, at) => {
      row.classList.toggle("later", at >= count);
      row.classList.toggle("now", at === count - 1);
    });
    said.textContent = `${count} of ${rows.length} frames`;
  };
  const stop = () => { clearTimeout(timer); timer = null; play.textContent = "Play"; };
  const next = () => {
    const before = shown ? Number(rows[shown - 1].dataset.at) : 0;
    timer = setTimeout(() => {
      show(shown + 1);
      if (shown < rows.length) next(); else stop();
    }, Number(rows[shown].dataset.at) - before);
  };
  const button = (label, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", act);
    bar.append(made);
    return made;
  };
  const play = button("Play", () => {
    if (timer) return stop();
    if (shown === rows.length) show(0);
    play.textContent = "Pause";
    next();
  });
  button("Step", () => { stop(); show(shown === rows.length ? 1 : shown + 1); });
  button("Show all", () => { stop(); show(rows.length); });
  said.setAttribute("role", "status");
  figure.querySelector("figcaption").after(bar, said);
  show(rows.length);
  if (still.matches) play.hidden = true; // step by step only, nothing moves by itself
}
