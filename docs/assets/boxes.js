// What scrolls sideways can be reached and scrolled from the keyboard.
const boxes = ".md-typeset pre > code, .md-typeset__scrollwrap";
const mark = () => {
  for (const box of document.querySelectorAll(boxes)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
};
addEventListener("load", mark);
addEventListener("resize", mark);
