// Python in a worker: the page stays alive whatever the module does.
// In: {kind: "load", name, source, answers}, {kind: "send", id, request}, {kind: "cancel", id}, {kind: "check", id, task, source}.
// Out: progress, said (what Python prints), ready, loaded, broken, and for each request start, chunk, then one of
// done, cancelled, error; `at` is in milliseconds since the request was sent. For a check: passed, then solved or failed.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const here = (name) => new URL(name, import.meta.url).href;
const tell = (kind, more = {}) => postMessage({ kind, ...more });

async function boot() {
  tell("progress", { text: "Loading Python (13 MB, once)", part: 0.1 });
  const python = await loadPyodide({
    indexURL: here("./pyodide/"),
    stdout: (text) => tell("said", { text }),
    stderr: (text) => tell("said", { text }),
  });
  const manifest = await (await fetch(here("./assets.json"))).json();
  tell("progress", { text: "Loading FastAPI and Pydantic", part: 0.5 });
  const wheels = manifest.wheels.map((name) => here(`./wheels/${name}`));
  await python.loadPackage(wheels, { messageCallback() {} });
  tell("progress", { text: "Starting FastAPI", part: 0.8 });
  const glue = await (await fetch(here("./tab.py"))).text();
  for (const [path, text] of Object.entries(manifest.modules)) {
    python.FS.mkdirTree(`/course/${path.slice(0, path.lastIndexOf("/"))}`);
    python.FS.writeFile(`/course/${path}`, text);
  }
  python.runPython("import sys; sys.path.insert(0, '/course')");
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

async function obey({ kind, id, name, source, answers, request, task }) {
  const tab = await booted;
  if (kind === "load") {
    const wrong = await tab.load(name, source, JSON.stringify(answers));
    if (wrong) tell("broken", JSON.parse(wrong));
    else tell("loaded");
  } else if (kind === "cancel") {
    await tab.cancel(id);
  } else if (kind === "check") {
    await tab.check(JSON.stringify(task), source, (what, text) => tell(what, { id, ...JSON.parse(text) }));
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
