// What scrolls sideways can be reached from the keyboard; landmarks have own names.
const boxes = ".md-typeset pre > code, .md-typeset__scrollwrap, .diagram";
// On a phone a row of a wide table of words is a card: each cell names its column.
const isNumber = (head) => head.style.textAlign === "right";
for (const table of document.querySelectorAll(".md-typeset table:not([class])")) {
  const heads = [...table.querySelectorAll("th")];
  if (heads.length < 3 || heads.filter(isNumber).length > 1 || table.closest(".cards")) continue;
  const box = document.createElement("div");
  box.className = "cards";
  table.replaceWith(box);
  box.append(table);
}
for (const table of document.querySelectorAll(".cards table")) {
  const names = [...table.querySelectorAll("th")].map((it) => it.textContent.trim());
  for (const row of table.querySelectorAll("tbody tr")) {
    [...row.cells].forEach((cell, at) => { if (at) cell.dataset.column = names[at]; });
  }
}
// A long name in a table may break after a sign, where its table is too wide.
for (const code of document.querySelectorAll(".md-typeset td code")) {
  for (const text of [...code.childNodes].filter((it) => it.nodeType === Node.TEXT_NODE)) {
    const parts = text.data.split(/(?<=[a-z\d]_|[/.:=])(?=[a-z\d])/i);
    text.replaceWith(...parts.flatMap((it, at) => at ? [document.createElement("wbr"), it] : [it]));
  }
}
// In a sentence a short name or option with a hyphen stays on one line: -m, X-Request-ID.
for (const code of document.querySelectorAll(".md-typeset :is(p, li, strong) > code")) {
  for (const text of [...code.childNodes].filter((it) => it.nodeType === Node.TEXT_NODE)) {
    const parts = text.data.split(/(?<!\S)(?=\S{2,24}(?!\S))(\S*-\S*)/);
    text.replaceWith(...parts.map((it, at) => {
      if (at % 2 === 0) return it;
      return Object.assign(document.createElement("span"), { className: "whole", textContent: it });
    }));
  }
}
const mark = () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap:not(.tight)")) {
    if (box.scrollWidth > box.clientWidth) box.classList.add("tight");
  }
  for (const box of document.querySelectorAll(boxes)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
  document.querySelectorAll("nav.md-code__nav").forEach((bar, at) => {
    const name = `Code block ${at + 1}`;
    if (bar.ariaLabel !== name) bar.ariaLabel = name;
  });
};
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
document.querySelectorAll(".md-nav .md-nav[aria-labelledby]").forEach((nav, at) => {
  const title = document.getElementById(nav.getAttribute("aria-labelledby"));
  nav.removeAttribute("aria-labelledby");
  nav.setAttribute("aria-label", `Pages, part ${at + 1}: ${title?.textContent.trim()}`);
});
new MutationObserver(mark).observe(document.body, { childList: true, subtree: true });
addEventListener("load", mark);
addEventListener("resize", mark);
