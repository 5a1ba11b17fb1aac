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
  const mark = (section) => {
    for (const figure of section?.querySelectorAll("figure.code") ?? []) {
      const current = figure.querySelector(".step.current-fragment");
      const rows = new Set((current?.dataset.rows ?? "").split(","));
      figure.querySelectorAll(".row").forEach((row, n) =>
        row.classList.toggle("focused", rows.has(String(n + 1))));
    }
  };

  const PHONE = 435; // narrower windows scroll through the slides, all steps shown
  if (window.Reveal) {
    Reveal.initialize({
      width: 1280, height: 720, margin: 0.02, center: false, hash: true, slideNumber: "c/t",
      transition: "none", backgroundTransition: "none", pdfSeparateFragments: false,
      scrollActivationWidth: PHONE, scrollLayout: "compact", fragments: innerWidth > PHONE,
      plugins: window.RevealNotes ? [RevealNotes] : [],
      keyboard: { 84: toggle },
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
