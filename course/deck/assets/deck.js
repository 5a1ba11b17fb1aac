// The deck around reveal.js: steps through code, light and dark, and the handout's search.
(() => {
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("deck-theme"); } catch { return null; } };
  const paint = (dark) => {
    root.classList.toggle("dark", dark);
    root.classList.toggle("light", !dark);
  };
  const asked = new URLSearchParams(location.search).get("theme");
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => paint((asked ?? stored() ?? (preferred.matches ? "dark" : "light")) === "dark");
  preferred.addEventListener("change", follow);
  follow();
  const toggle = () => {
    const dark = !root.classList.contains("dark");
    paint(dark);
    try { localStorage.setItem("deck-theme", dark ? "dark" : "light"); } catch { /* file:// */ }
  };

  // data-steps="1-2|4": each step is a fragment that marks its rows.
  const rowsOf = (step) => step.split(",").flatMap((part) => {
    const [from, to = from] = part.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, n) => from + n);
  });
  for (const figure of document.querySelectorAll(".reveal figure.code")) {
    (figure.dataset.steps || "").split("|").filter(Boolean).forEach((step) => {
      const marker = document.createElement("span");
      marker.className = "fragment step";
      marker.dataset.rows = rowsOf(step).join(",");
      figure.append(marker);
    });
  }
  // A slide with little on it is shown larger: what is under the title grows until it
  // fills the height or the width. Notebooks' slides are measured when they are built.
  const LARGEST = 1.4;
  const fill = (section) => {
    const slide = section.querySelector(".slide");
    if (section.matches(".cells, .lead") || !slide.querySelector("h1")) return;
    const body = document.createElement("div");
    body.className = "body";
    body.append(...[...slide.children].filter((it) => it.tagName !== "H1"));
    slide.append(body);
    section.style.display = "block";
    const fits = () => body.scrollHeight <= body.clientHeight
      && [...body.querySelectorAll("pre, table, .drawing")].every((it) => it.scrollWidth <= it.clientWidth);
    const inner = [...body.children];
    for (let size = LARGEST; size > 1; size -= 0.05) {
      for (const it of inner) it.style.zoom = size;
      if (fits()) break;
      for (const it of inner) it.style.zoom = "";
    }
    section.style.display = "";
  };

  const mark = (section) => {
    for (const figure of section?.querySelectorAll("figure.code") ?? []) {
      const current = figure.querySelector(".step.current-fragment");
      const rows = new Set((current?.dataset.rows ?? "").split(","));
      figure.querySelectorAll(".row").forEach((row, n) =>
        row.classList.toggle("focused", rows.has(String(n + 1))));
    }
  };

  // All slides at once, as small pictures that lead to their slides. A picture is a copy:
  // its ids get names of their own, because a drawing refers to its parts by id.
  const grid = {
    element: null,
    toggle() { if (grid.element) grid.close(); else grid.open(); },
    close() {
      grid.element.remove();
      grid.element = null;
      document.querySelector("main").inert = false;
    },
    copy(slide, number) {
      const ids = [...slide.querySelectorAll("[id]")].map((it) => it.id);
      let markup = slide.querySelector(".slide").outerHTML;
      for (const id of ids) {
        markup = markup.replaceAll(`"${id}"`, `"${id}-small"`).replaceAll(`#${id})`, `#${id}-small)`);
        markup = markup.replaceAll(`${id} `, `${id}-small `).replaceAll(` ${id}"`, ` ${id}-small"`);
      }
      const button = document.createElement("button");
      button.type = "button";
      button.className = "small";
      button.setAttribute("aria-label", `Slide ${number + 1}: ${slide.querySelector("h1, h2, .running")?.textContent ?? ""}`);
      button.innerHTML = `<span class="reveal" aria-hidden="true" inert><span class="slides"><section class="${slide.classList.value.replace(/past|future/g, "")}">${markup}</section></span></span><span class="count" aria-hidden="true">${number + 1}</span>`;
      button.addEventListener("click", () => { grid.close(); Reveal.slide(number); });
      return button;
    },
    open() {
      const slides = Reveal.getSlides();
      const columns = Math.ceil(Math.sqrt(slides.length * 720 * innerWidth / (1280 * innerHeight)));
      const element = document.createElement("div");
      element.className = "grid";
      element.setAttribute("role", "dialog");
      element.setAttribute("aria-label", "All slides");
      element.style.setProperty("--columns", columns);
      element.append(...slides.map(grid.copy));
      element.addEventListener("keydown", (event) => {
        const buttons = [...element.children];
        const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
        const at = buttons.indexOf(document.activeElement);
        if (event.key in steps) buttons[at + steps[event.key]]?.focus();
        else if (event.key === "Escape" || event.key === "o") grid.close();
        else return;
        event.preventDefault();
        event.stopPropagation();
      });
      document.querySelector("main").inert = true;
      document.body.append(element);
      grid.element = element;
      const width = (element.clientWidth - 8 * (columns + 1)) / columns;
      element.style.setProperty("--width", `${width}px`);
      element.style.setProperty("--scale", width / 1280);
      element.children[Reveal.getIndices().h].focus();
    },
  };

  const planned = document.querySelector("section[data-timing]") !== null;
  const PHONE = 435; // narrower windows scroll through the slides, all steps shown
  if (window.Reveal) {
    if (innerWidth > PHONE) document.querySelectorAll(".slides > section").forEach(fill);
    Reveal.initialize({
      width: 1280, height: 720, margin: 0, center: false, hash: true, slideNumber: "c/t",
      transition: "none", backgroundTransition: "none", pdfSeparateFragments: false,
      scrollActivationWidth: PHONE, scrollLayout: "compact", fragments: innerWidth > PHONE,
      plugins: window.RevealNotes ? [RevealNotes] : [],
      overview: false, // reveal.js lays all slides in one row: the grid below shows them all
      defaultTiming: planned ? 60 : null, // the speaker's window then shows the plan, too
      keyboard: { 84: toggle, 79: () => grid.toggle(), 27: () => grid.toggle() },
    }).then(() => mark(Reveal.getCurrentSlide()));
    // Where slides are shown together, none is hidden from those who listen.
    new MutationObserver(() => {
      if (!Reveal.isScrollView()) return;
      for (const slide of document.querySelectorAll(".slides section[aria-hidden]")) {
        slide.removeAttribute("aria-hidden");
        slide.removeAttribute("hidden");
      }
    }).observe(document.querySelector(".slides"), { attributeFilter: ["aria-hidden"], childList: true, subtree: true });
    for (const event of ["slidechanged", "fragmentshown", "fragmenthidden"]) {
      Reveal.on(event, () => mark(Reveal.getCurrentSlide()));
    }
  }

  // A handout prints with its notes: what is folded is opened for as long as it prints.
  const folded = new Set();
  addEventListener("beforeprint", () => {
    for (const notes of document.querySelectorAll("details:not([open])")) {
      folded.add(notes);
      notes.open = true;
    }
  });
  addEventListener("afterprint", () => {
    for (const notes of folded) notes.open = false;
    folded.clear();
  });

  const search = document.getElementById("search");
  search?.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    const pages = [...document.querySelectorAll("article")];
    const shown = pages.filter((page) => {
      page.hidden = !page.textContent.toLowerCase().includes(wanted);
      return !page.hidden;
    });
    document.getElementById("found").textContent = wanted ? `${shown.length} of ${pages.length} slides` : "";
  });
})();
