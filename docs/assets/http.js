// Swagger UI, to read: requests are sent from /docs of the running service.
window.SwaggerUIBundle({
  url: document.getElementById("swagger").dataset.schema,
  dom_id: "#swagger",
  supportedSubmitMethods: [],
  docExpansion: "none",
});
