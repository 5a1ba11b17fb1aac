// Python in a worker: the page stays alive whatever the module does.
// In: {kind: "load", name, source}, {kind: "send", id, request}, {kind: "cancel", id}.
// Out: progress, said (what Python prints), ready, loaded, broken, and for each request start, chunk, then one of
// done, cancelled, error; `at` is in milliseconds since the request was sent.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const here = (name) => new URL(name, import.meta.url).href;
const tell = (kind, more = {}) => postMessage({ kind, ...more });

async function boot() {
  tell("progress", { text: "Loading Python (13 MB, once)" });
  const python = await loadPyodide({
    indexURL: here("./pyodide/"),
    stdout: (text) => tell("said", { text }),
    stderr: (text) => tell("said", { text }),
  });
  const manifest = await (await fetch(here("./assets.json"))).json();
  tell("progress", { text: "Loading FastAPI and Pydantic" });
  const wheels = manifest.wheels.map((name) => here(`./wheels/${name}`));
  await python.loadPackage(wheels, { messageCallback() {} });
  const glue = await (await fetch(here("./tab.py"))).text();
  python.runPython("import fastapi, pydantic");
  python.runPython(glue);
  const told = python.runPython(
    "import sys; f'Python {sys.version.split()[0]}, FastAPI {fastapi.__version__}, ' f'Pydantic {pydantic.VERSION}'",
  );
  tell("ready", { text: told });
  return python.globals.get("tab");
}

const booted = boot();
booted.catch((error) => tell("failed", { text: String(error) }));
let last = Promise.resolve();

async function obey({ kind, id, name, source, request }) {
  const tab = await booted;
  if (kind === "load") {
    const wrong = await tab.load(name, source);
    if (wrong) tell("broken", JSON.parse(wrong));
    else tell("loaded");
  } else if (kind === "cancel") {
    await tab.cancel(id);
  } else {
    const begun = performance.now();
    const said = (what, text) => {
      const at = Math.round(performance.now() - begun);
      const known = text && what !== "chunk" ? JSON.parse(text) : { text };
      tell(what, { id, at, ...known });
    };
    await tab.send(id, JSON.stringify(request), said);
  }
}

onmessage = ({ data }) => {
  // a request waits for the module before it, and for no other request
  if (data.kind === "load") last = last.then(() => obey(data));
  else last.then(() => obey(data));
};
