// A drawing comes step by step, as in its deck. Without this it is whole.
for (const figure of document.querySelectorAll(".stepwise")) {
  const parts = [...figure.querySelectorAll(".fragment")];
  const said = document.createElement("span");
  const bar = document.createElement("div");
  let shown = parts.length;

  const show = (count) => {
    shown = count;
    parts.forEach((part, at) => part.classList.toggle("later", at >= count));
    said.textContent = `step ${count + 1} of ${parts.length + 1}`;
  };
  const button = (label, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", act);
    bar.append(made);
  };
  button("Step", () => show(shown === parts.length ? 0 : shown + 1));
  button("Show all", () => show(parts.length));
  said.setAttribute("role", "status");
  bar.append(said);
  figure.prepend(bar);
  show(parts.length);
}
