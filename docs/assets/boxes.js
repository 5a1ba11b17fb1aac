// What scrolls sideways can be reached from the keyboard; landmarks have own names.
const boxes = ".md-typeset pre > code, .md-typeset__scrollwrap, .diagram";
// On a phone a row of a wide table is a card: each cell names its column.
for (const table of document.querySelectorAll(".cards table")) {
  const names = [...table.querySelectorAll("th")].map((it) => it.textContent.trim());
  for (const row of table.querySelectorAll("tbody tr")) {
    [...row.cells].forEach((cell, at) => { if (at) cell.dataset.column = names[at]; });
  }
}
const mark = () => {
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
