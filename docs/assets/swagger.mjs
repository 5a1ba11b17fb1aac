// Swagger UI in a root of its own: the page's styles and Swagger UI's do not meet there.
// The colours come through, because custom properties are inherited.
const at = (name) => new URL(name, import.meta.url).href;

function loaded(element, parent) {
  return new Promise((resolve, reject) => {
    element.onload = resolve;
    element.onerror = () => reject(new Error(`${element.src ?? element.href} is missing`));
    parent.append(element);
  });
}

// What Swagger UI leaves out: code that scrolls is reached by keyboard, and a list has a name.
function complete(node) {
  for (const code of node.querySelectorAll("pre.microlight:not([tabindex])")) code.tabIndex = 0;
  for (const list of node.querySelectorAll("select:not([aria-label])")) {
    if (list.id === "servers") list.setAttribute("aria-label", "Server");
    if (list.labels.length) continue;
    const row = list.closest("tr")?.dataset.paramName;
    list.setAttribute("aria-label", row ? `Value of ${row}` : "Example");
  }
}

/** Show an OpenAPI description in the element `host`; `options` are Swagger UI's own. */
export async function showRoutes(host, options) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  root.replaceChildren();
  const sheets = ["swagger-ui.css", "swagger.css"].map((name) =>
    Object.assign(document.createElement("link"), { rel: "stylesheet", href: at(name) }));
  await Promise.all(sheets.map((sheet) => loaded(sheet, root)));
  if (!window.SwaggerUIBundle) {
    const script = Object.assign(document.createElement("script"), { src: at("swagger-ui-bundle.js") });
    await loaded(script, document.head);
  }
  const node = Object.assign(document.createElement("div"), { id: "swagger-ui" });
  root.append(node);
  new MutationObserver(() => complete(node)).observe(node, { childList: true, subtree: true });
  window.SwaggerUIBundle({ ...options, domNode: node });
}
