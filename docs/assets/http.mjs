// The routes of the complete service, to read: requests are sent from /docs while it runs.
import { showRoutes } from "./swagger.mjs";

const host = document.getElementById("swagger");
await showRoutes(host, {
  url: host.dataset.schema,
  supportedSubmitMethods: [],
  docExpansion: "none",
  // Nothing is sent from this page, so it asks nobody for a key.
  plugins: [
    () => ({ wrapComponents: { authorizeBtn: () => () => null, authorizeOperationBtn: () => () => null } }),
  ],
});
