// Swagger UI, to read: requests are sent from /docs of the running service.
window.SwaggerUIBundle({
  url: document.getElementById("swagger").dataset.schema,
  dom_id: "#swagger",
  supportedSubmitMethods: [],
  docExpansion: "none",
});
// Its own dark look, with the page's.
const dark = () =>
  document.documentElement.classList.toggle("dark-mode", document.body.dataset.mdColorScheme === "slate");
new MutationObserver(dark).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
dark();
