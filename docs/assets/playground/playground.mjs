// The playground's page. Python runs in worker.mjs; here is what is seen of it.
import { showRoutes } from "../swagger.mjs";
import { makeEditor } from "./editor.mjs";

const root = document.getElementById("playground");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const suspends = "Suspending" in WebAssembly; // JSPI: what plays a thread here
const lessons = JSON.parse(document.getElementById("playground-lessons").textContent).filter(
  (each) => suspends || !each.task?.suspends,
);
const edited = new Map(); // what the reader made of a section, by its id

let lesson = lessons[0];
let worker;
let ready = false;
let loaded = null; // the source that runs, null when the module must be loaded first
let nextId = 1;
let current = null;
const editor = makeEditor(part("source"), "playground-source", () => {
  edited.set(lesson.id, editor.text);
  delete root.dataset.loaded;
});
const listeners = new Map(); // by request id: for Swagger UI, and the form's own
const hinted = new Map(); // how many hints of an exercise are shown, by its id

function status(text) {
  part("status").textContent = text;
}

// --- the worker

function start() {
  worker?.terminate();
  ready = false;
  loaded = null;
  current = null;
  listeners.clear();
  buttons();
  worker = new Worker(new URL("./worker.mjs", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => heard(data);
  worker.onerror = (event) => status(`Python could not start: ${event.message}`);
}

// End Python, whatever it does, and start it anew; the code stays as it is.
function stop() {
  const ran = current !== null;
  start();
  if (!ran) return;
  line("\nStopped. Python starts anew; your code is kept.", "time");
  root.dataset.ended = "stopped";
}

function heard(data) {
  if (data.kind === "progress") {
    status(data.text);
    part("progress").hidden = false;
    part("progress").value = data.part;
  }
  else if (data.kind === "said") printed(data.text);
  else if (data.kind === "failed" && !data.id) status(`Python could not start: ${data.text}`);
  else if (data.kind === "ready") {
    ready = true;
    root.dataset.ready = "yes";
    part("progress").hidden = true;
    status(`${data.text}, in this tab`);
    buttons();
    swagger(); // its part may have been opened before
  } else if (data.kind === "loaded") root.dataset.loaded = lesson.id;
  else if (data.kind === "broken") {
    loaded = null;
    for (const listener of [...listeners.values()]) listener({ ...data, kind: "error", at: 0 });
    listeners.clear();
    blame(data);
  } else {
    listeners.get(data.id)?.(data);
    if (["done", "cancelled", "error", "solved", "failed"].includes(data.kind)) listeners.delete(data.id);
  }
}

function printed(text) {
  part("printed").hidden = false;
  part("printed-text").textContent += `${text}\n`;
}

function load() {
  const source = editor.text;
  if (loaded === source) return;
  loaded = source;
  noFault();
  // Recorded answers are those of the module as it was: not of what was changed in it.
  const answers = source === lesson.source ? (lesson.answers ?? {}) : {};
  worker.postMessage({ kind: "load", name: lesson.stem, source, answers });
}

// Send a request to the app; `listener` hears start, chunk, and how it ended.
function send(request, listener) {
  load();
  const id = nextId++;
  listeners.set(id, listener);
  worker.postMessage({ kind: "send", id, request });
  return id;
}

// --- what is wrong, and where

function blame({ line, text, trace }) {
  part("fault").hidden = false;
  part("fault-text").textContent = trace ? `${trace}${text}` : text;
  part("fault-line").hidden = !line;
  part("fault-line").textContent = `Line ${line}`;
  part("fault-line").onclick = () => editor.show(line);
  editor.mark(line);
}

function noFault() {
  part("fault").hidden = true;
  editor.mark(0);
}

// --- the form

function buttons() {
  part("send").disabled = !ready || current !== null;
  part("check").disabled = !ready || current !== null;
  part("cancel").disabled = current === null || root.dataset.running !== "request";
  part("stop").disabled = current === null;
}

function fill(request) {
  part("method").value = request.method;
  part("path").value = request.path;
  part("body").value = request.body ?? "";
  part("headers").value = Object.entries(request.headers ?? {})
    .map(([name, value]) => `${name}: ${value}`)
    .join("\n");
}

function written() {
  const headers = {};
  for (const line of part("headers").value.split("\n")) {
    const [name, ...rest] = line.split(":");
    if (rest.length) headers[name.trim()] = rest.join(":").trim();
  }
  const request = { method: part("method").value, path: part("path").value, headers };
  if (part("body").value) request.body = part("body").value;
  return request;
}

function choose(id, source) {
  lesson = lessons.find((each) => each.id === id) ?? lessons[0];
  part("section").value = lesson.id;
  if (source) edited.set(lesson.id, source);
  editor.text = edited.get(lesson.id) ?? lesson.source;
  editor.reveal(/^@app\.(get|post|put|patch|delete|websocket)\(/m);
  showTask();
  part("note").textContent = lesson.note;
  part("note").hidden = !lesson.note;
  part("examples").replaceChildren(
    ...lesson.requests.map((request, index) => new Option(request.shown, index)),
  );
  part("request").hidden = part("send").hidden = part("cancel").hidden = !lesson.requests.length;
  if (lesson.requests.length) fill(lesson.requests[0]);
  noFault();
  loaded = null;
}

// --- exercises: the same files as those of `course check`

function showTask() {
  const { task } = lesson;
  for (const name of ["task", "check", "hint", "solution"]) part(name).hidden = !task;
  if (!task) return;
  const shown = hinted.get(lesson.id) ?? 0;
  const hints = task.hints.slice(0, shown).map((hint) => `<li>${hint}</li>`);
  part("task").innerHTML = `${task.text}<ol>${hints.join("")}</ol>`;
  part("hint").disabled = shown === task.hints.length;
  part("hint").textContent = `Hint (${task.hints.length - shown} left)`;
}

function hint() {
  hinted.set(lesson.id, (hinted.get(lesson.id) ?? 0) + 1);
  showTask();
}

function solution() {
  begin();
  line(lesson.task.solution, "text");
}

function label(name) {
  return name.replace(/^check_/, "").replaceAll("_", " ");
}

function check() {
  if (!ready || current !== null || !lesson.task) return;
  begin();
  const id = nextId++;
  current = id;
  root.dataset.running = "check";
  listeners.set(id, (data) => {
    if (data.kind === "passed") return line(`✔ ${label(data.check)}\n`, "head good");
    if (data.kind === "solved") line("\nSolved.", "head good");
    else {
      line(`✘ ${data.check ? label(data.check) : "the file cannot be run"}\n\n`, "head bad");
      line(data.words, "text");
      if (data.seen) line(`\n\nThe check says: ${data.seen}`, "text");
    }
    ended(data.kind);
  });
  buttons();
  worker.postMessage({ kind: "check", id, task: lesson.task, source: editor.text });
}

// The answer's place, empty for what comes.
function begin() {
  part("answer").replaceChildren();
  part("printed").hidden = true;
  part("printed-text").textContent = "";
  noFault();
  delete root.dataset.ended;
}

function ended(kind) {
  current = null;
  root.dataset.ended = kind;
  buttons();
}

function line(text, kind) {
  const element = document.createElement("span");
  element.className = kind;
  element.textContent = text;
  part("answer").append(element);
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function run(event) {
  event?.preventDefault();
  if (!ready || current !== null) return;
  begin();
  root.dataset.running = "request";
  const chunks = [];
  let streamed = false;
  current = send(written(), (data) => {
    if (data.kind === "start") {
      line(`HTTP ${data.status}\n`, data.status < 400 ? "head good" : "head bad");
      line(`${data.headers.map((pair) => pair.join(": ")).join("\n")}\n\n`, "fields");
      streamed = data.headers.some(([, value]) => value.startsWith("text/event-stream"));
    } else if (data.kind === "chunk") {
      chunks.push(data.text);
      if (streamed) {
        line(`${String(data.at).padStart(6)} ms  `, "time");
        line(`${data.text.trimEnd().replaceAll("\n", `\n${" ".repeat(11)}`)}\n`, "text");
      }
    } else {
      if (!streamed) line(`${pretty(chunks.join(""))}\n`, "text");
      if (data.kind === "error") blame(data);
      const said = { done: "complete", cancelled: "cancelled", error: "failed" }[data.kind];
      line(`\n${said} after ${data.at} ms`, "time");
      ended(data.kind);
    }
  });
  buttons();
}

function reset() {
  edited.delete(lesson.id);
  hinted.delete(lesson.id);
  history.replaceState(null, "", location.pathname);
  choose(lesson.id);
  part("answer").replaceChildren();
  start();
}

// --- sharing: the section, what was changed and the request, in the address's fragment

async function through(stream, bytes) {
  const out = new Blob([bytes]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(out).arrayBuffer());
}

async function packed(value) {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const small = await through(new CompressionStream("deflate-raw"), bytes);
  const text = btoa(Array.from(small, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function unpacked(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const small = Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
  const bytes = await through(new DecompressionStream("deflate-raw"), small);
  return JSON.parse(new TextDecoder().decode(bytes));
}

async function share() {
  const source = editor.text;
  const told = { section: lesson.id, request: written() };
  if (source !== lesson.source) told.source = source;
  const url = new URL(location.href);
  url.search = "";
  url.hash = await packed(told);
  history.replaceState(null, "", url);
  try {
    await navigator.clipboard.writeText(url.href);
    status("The link is in the clipboard, and in the address bar.");
  } catch {
    status("The link is in the address bar.");
  }
}

async function shared() {
  if (location.hash.length < 2) return choose(new URLSearchParams(location.search).get("section"));
  try {
    const told = await unpacked(location.hash.slice(1));
    choose(told.section, told.source);
    fill(told.request);
    status("From a link: read it before you send a request.");
  } catch {
    choose(lessons[0].id);
    status("That link could not be read.");
  }
}

// --- Swagger UI, its requests answered by the app in this tab

function tabFetch(url, options = {}) {
  const place = new URL(url, location.href);
  return new Promise((resolve, reject) => {
    let body;
    send(
      {
        method: (options.method ?? "GET").toUpperCase(),
        path: place.pathname + place.search,
        headers: Object.fromEntries(new Headers(options.headers ?? {})),
        body: options.body,
      },
      (data) => {
        if (data.kind === "start") {
          const stream = new ReadableStream({ start: (control) => (body = control) });
          const none = data.status === 204 || data.status === 304;
          const answer = new Response(none ? null : stream, { status: data.status, headers: data.headers });
          Object.defineProperty(answer, "url", { value: place.href });
          resolve(answer);
        } else if (data.kind === "chunk") body?.enqueue(new TextEncoder().encode(data.text));
        else if (data.kind === "done") body?.close();
        else reject(new Error(data.text ?? data.kind));
      },
    );
  });
}

async function swagger() {
  part("swagger").shadowRoot?.replaceChildren(); // what was shown may be of another module
  if (!part("routes").open || !ready) return;
  const spec = await (await tabFetch("/openapi.json")).json();
  spec.servers = [{ url: "/" }];
  await showRoutes(part("swagger"), {
    spec,
    tryItOutEnabled: true,
    docExpansion: "list",
    defaultModelsExpandDepth: -1,
    requestInterceptor(request) {
      request.userFetch = tabFetch;
      return request;
    },
  });
}

// --- begin

const groups = new Map(); // by the section's id
for (const each of lessons) {
  const name = each.id.slice(0, 2);
  if (!groups.has(name)) groups.set(name, Object.assign(document.createElement("optgroup"), { label: `Section ${name.slice(1)}` }));
  groups.get(name).append(new Option(each.title, each.id));
}
part("section").append(...groups.values());
part("form").addEventListener("submit", run);
part("section").addEventListener("change", () => {
  choose(part("section").value);
  part("routes").open = false;
});
part("examples").addEventListener("change", () => fill(lesson.requests[part("examples").value]));
part("cancel").addEventListener("click", () => worker.postMessage({ kind: "cancel", id: current }));
part("reset").addEventListener("click", reset);
part("share").addEventListener("click", share);
part("stop").addEventListener("click", stop);
part("check").addEventListener("click", check);
part("hint").addEventListener("click", hint);
part("solution").addEventListener("click", solution);
root.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  if (lesson.task) check();
  else run();
});
part("routes").addEventListener("toggle", swagger);
// for bookmarklets, tests and the curious: the module's text
Object.defineProperty(root, "source", {
  get: () => editor.text,
  set(text) {
    editor.text = text;
    edited.set(lesson.id, text);
  },
});
await shared();
start();
