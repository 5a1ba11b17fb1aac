/** The page at `/`: a race of four ways to answer. No build, no library. */

import { Convertible, asChat, asResponse, outputText } from "/console/api.js";
import { Race, seconds } from "/console/race.js";
import { Panel, call, events, pretty } from "/console/wire.js";

const START = "python3 -m course run";
const RETRY_MS = 1000; // between two looks whether the service is there again

const byId = (id) => document.getElementById(id);
const panels = byId("panels");
const model = byId("model");
const api = byId("api");
const key = byId("key");
const race = new Race(byId("lanes"), byId("axis"));
const phone = matchMedia("(max-width: 42rem)");

const QUESTION = "Why does streaming feel faster?";
const ask = (content) =>
  ({ model: "gpt-4o-mini", messages: [{ role: "user", content }], max_tokens: 200 });
const pause = (signal) => new Promise((resolve, reject) => {
  signal.addEventListener("abort", () => reject(new Error("cancelled")), { once: true });
  setTimeout(resolve, 300);
});

/* One editor for all four, where the window is narrow */
const shared = byId("shared").querySelector("textarea");
shared.value = pretty(ask(QUESTION));

/** The request as it was typed: nothing on this page changes it on its way. */
function request(panel) {
  const text = phone.matches ? shared.value : panel.editor.value;
  let body;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new Error(`The request is not JSON: ${error.message}`);
  }
  return phone.matches ? panel.wrap(body) : body;
}
const byResponses = () => api.value === "responses";

/* 1. Synchronous */
const sync = new Panel(panels, race, {
  title: "Synchronous",
  what: "Ask, wait, get the whole answer. For short requests, under 5 seconds.",
  body: ask(QUESTION),
  wrap: (body) => body,
  words: (lane) => `nothing for ${seconds(lane.first)}, then all of it`,
});
sync.send.addEventListener("click", () => sync.run(async (signal) => {
  const body = JSON.stringify(request(sync));
  const path = byResponses() ? "/v1/responses" : "/v1/chat/completions";
  const response = await call(sync, "POST", path, { body, signal });
  if (response.headers.get("content-type").startsWith("text/event-stream")) {
    throw new Error("This request says stream: true. The panel beside it shows streams.");
  }
  const answer = await response.json();
  sync.lane.frame();
  sync.lane.readable();
  sync.log("the whole answer", { json: answer });
  sync.result.textContent = (answer.object === "response"
    ? outputText(answer) : answer.choices[0].message.content) || pretty(answer);
}));

/* 2. Streaming; it can be cut and go on. A response can where it runs in the background */
const streamed = (body) => ({ ...body, stream: true, background: true });
const stream = new Panel(panels, race, {
  title: "Streaming",
  what: "Words as they come, over SSE. Cancel it, and Resume goes on from there.",
  body: { ...ask(QUESTION), stream: true },
  wrap: (body) => (byResponses() ? streamed(body) : { ...body, stream: true }),
  words: (lane) => `first word after ${seconds(lane.first)}, whole after ${seconds(lane.whole)}`,
  more: "Resume",
});
let place = {}; // where a cut stream goes on: its address, and the last id that came
/** One event of a response. One in the background says where its events can be read. */
function readEvent({ type, sequence_number: number, delta, response }) {
  if (response?.background) place.where = `/v1/responses/${response.id}?stream=true`;
  if (place.where) place.last = number;
  if (type === "response.output_text.delta") {
    stream.lane.readable();
    stream.result.textContent += delta;
    stream.result.scrollTop = stream.result.scrollHeight;
  }
  if (type === "response.failed") {
    place = {};
    throw new Error(`The response is ${response.status}.`);
  }
}
async function follow(response, signal) {
  for await (const { id, data } of events(stream, response, signal)) {
    place.last = id ?? place.last;
    if (data === "[DONE]") { place = {}; return; }
    const chunk = JSON.parse(data);
    if (chunk.error) { place = {}; throw new Error(chunk.error.message); }
    if (chunk.type) { readEvent(chunk); continue; }
    for (const choice of chunk.choices) {
      if (!choice.delta.content) continue;
      stream.lane.readable();
      stream.result.textContent += choice.delta.content;
    }
    stream.result.scrollTop = stream.result.scrollHeight;
  }
  throw new Error("The wire broke before the end. Resume goes on where it was cut.");
}
stream.send.addEventListener("click", async () => {
  place = {};
  await stream.run(async (signal) => {
    const body = JSON.stringify(request(stream));
    const headers = byResponses() ? {} : { "X-Resumable": "true" };
    const path = byResponses() ? "/v1/responses" : "/v1/chat/completions";
    const response = await call(stream, "POST", path, { body, headers, signal });
    if (!response.headers.get("content-type").startsWith("text/event-stream")) {
      const answer = await response.json();
      stream.result.textContent = answer.object === "response"
        ? outputText(answer) : answer.choices[0].message.content;
      throw new Error("This request does not say stream: true, so the answer came whole.");
    }
    place.where = response.headers.get("content-location") ?? undefined;
    await follow(response, signal);
  });
  stream.more.disabled = place.last === undefined;
});
stream.more.addEventListener("click", async () => {
  await stream.run(async (signal) => {
    const isResponse = place.where.startsWith("/v1/responses");
    const where = isResponse ? `${place.where}&starting_after=${place.last}` : place.where;
    const headers = isResponse ? {} : { "Last-Event-ID": place.last };
    if (!isResponse) stream.log(`Last-Event-ID: ${place.last}`);
    await follow(await call(stream, "GET", where, { headers, signal }), signal);
  }, { keep: true });
  stream.more.disabled = place.last === undefined;
});

/* 3. Job */
function bar(panel, progress) {
  panel.progress.hidden = false;
  panel.progress.value = progress.done / progress.total;
  const failures = progress.failed ? `, ${progress.failed} failed` : "";
  panel.say(`${progress.done} of ${progress.total}${failures}`, progress.failed ? "bad" : "");
}
/** Shows a job that has ended; returns what failed in words, if anything did. */
function outcome(panel, job) {
  bar(panel, job.progress);
  const lines = (job.results ?? []).map(({ index, response, error }) =>
    `${index + 1}. ${response?.choices[0].message.content ?? `✗ ${error.error.message}`}`);
  const { failed, total } = job.progress;
  const failures = failed ? `, ${failed} of ${total} failed` : "";
  const cost = job.cost_usd === null ? "" : `, ${job.cost_usd} USD`;
  panel.result.textContent = `${job.status}${failures}${cost}\n\n${lines.join("\n\n")}`;
  if (failed) return `${failed} of ${total} failed`;
  return job.status === "succeeded" ? undefined : `the job is ${job.status}`;
}
async function work(panel, body, signal) {
  const text = JSON.stringify(body);
  const created = await call(panel, "POST", "/v1/jobs", { body: text, signal });
  const { id } = await created.json();
  panel.lane.accept();
  panel.lane.frame();
  const path = `/v1/jobs/${id}`;
  const cancel = () => call(panel, "DELETE", path).then(async (gone) =>
    outcome(panel, await gone.json())).catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  const following = await call(panel, "GET", `${path}/events`, { signal });
  for await (const { data } of events(panel, following, signal)) {
    const { progress } = JSON.parse(data);
    if (progress) bar(panel, progress);
  }
  const problem = outcome(panel, await (await call(panel, "GET", path, { signal })).json());
  signal.removeEventListener("abort", cancel);
  return { id, problem };
}
/** A response in the background: queued, followed, and cancelled for real. */
async function workAsResponse(panel, body, signal) {
  const text = JSON.stringify({ ...body, stream: false });
  const created = await call(panel, "POST", "/v1/responses", { body: text, signal });
  const { id, status } = await created.json();
  panel.lane.accept();
  panel.lane.frame();
  if (status !== "queued") return "This request does not say background: true.";
  const path = `/v1/responses/${id}`;
  const show = (response) => {
    panel.result.textContent = `${response.status}\n\n${outputText(response)}`;
    return response.status === "completed" || response.status === "incomplete"
      ? undefined : response.error?.message ?? `the response is ${response.status}`;
  };
  const cancel = () => call(panel, "POST", `${path}/cancel`).then(async (gone) =>
    show(await gone.json())).catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  const following = await call(panel, "GET", `${path}?stream=true`, { signal });
  for await (const { data } of events(panel, following, signal)) {
    if (data === "[DONE]") break;
  }
  const problem = show(await (await call(panel, "GET", path, { signal })).json());
  signal.removeEventListener("abort", cancel);
  return problem;
}
const accepted = (lane) => `accepted after ${seconds(lane.accepted)}`;
const job = new Panel(panels, race, {
  title: "Job",
  what: "A batch in the background: 202 at once, then progress. Cancel stops it for real.",
  whatOfResponses: "A response in the background: queued at once. Cancel stops it for real.",
  body: { requests: [QUESTION, "What is a token?", "What is backpressure?"].map(ask) },
  wrap: (body) => (byResponses() ? { ...body, background: true } : { requests: [body] }),
  words: (lane) => `${accepted(lane)}, all answers after ${seconds(lane.first)}`,
});
job.send.addEventListener("click", () => job.run(async (signal) => {
  if (byResponses()) {
    const trouble = await workAsResponse(job, request(job), signal);
    job.lane.readable();
    return trouble;
  }
  const { problem } = await work(job, request(job), signal);
  job.lane.readable();
  return problem;
}));

/* 4. Webhook */
const hook = new Panel(panels, race, {
  title: "Webhook",
  what: "We call you when it is done. Each call is signed; a forged one is turned away.",
  whatOfResponses: "A job, as before: the inbox knows no secret of an endpoint for responses.",
  body: { requests: [ask(QUESTION)] },
  wrap: (body) => ({ requests: [byResponses() ? asChat(body) : body] }),
  words: (lane) => `${accepted(lane)}, we called back after ${seconds(lane.first)}`,
  more: "Forge",
});
hook.more.disabled = false;
async function arrived(id, signal) {
  for (;;) {
    const response = await fetch("/inbox", { signal });
    const { received } = await response.json();
    const delivery = received.find(({ event }) => event.data.id === id);
    if (delivery) return delivery;
    await pause(signal);
  }
}
hook.send.addEventListener("click", async () => {
  await hook.run(async (signal) => {
    const body = request(hook);
    const inbox = await call(hook, "GET", "/inbox", { signal });
    const { secret } = await inbox.json();
    const webhook = { url: `${location.origin}/inbox`, secret };
    const { id, problem } = await work(hook, { webhook, ...body }, signal);
    const { headers, event } = await arrived(id, signal);
    hook.lane.frame();
    hook.lane.readable();
    hook.log("→ POST /inbox, from the service");
    for (const [name, value] of Object.entries(headers)) hook.log(`${name}: ${value}`);
    hook.log("← 204, the signature verifies", { how: "good" });
    hook.result.textContent = `✓ signature verified\n\n${pretty(event)}`;
    return problem;
  });
  hook.more.disabled = false;
});
hook.more.addEventListener("click", async () => {
  await hook.run(async (signal) => {
    const headers = { "webhook-id": "msg_forged", "webhook-signature": "v1,Zm9yZ2Vk",
      "webhook-timestamp": String(Math.floor(Date.now() / 1000)) };
    for (const [name, value] of Object.entries(headers)) hook.log(`${name}: ${value}`);
    const body = '{"id":"evt_0","object":"event","created_at":0,"type":"job.succeeded","data":{}}';
    await call(hook, "POST", "/inbox", { body, headers, signal });
  });
  hook.result.textContent = `✗ turned away: no known secret made this signature.\n\n${
    hook.result.textContent}`;
  hook.more.disabled = false;
});

/* Send all four: the verdict compares the first words of a stream and of a whole answer */
const all = [sync, stream, job, hook];
const sendAll = byId("send-all");
const verdict = byId("verdict");
async function startRace() {
  if (sendAll.disabled) return;
  sendAll.disabled = true;
  verdict.textContent = "The race is on.";
  const able = all.filter((panel) => !panel.unavailable && !panel.send.disabled);
  for (const panel of able) panel.send.click();
  while (able.some((panel) => panel.send.disabled)) await pause(new AbortController().signal);
  verdict.textContent = compare();
  sendAll.disabled = false;
}
function compare() {
  const failed = all.filter(({ lane }) => lane.failed).map(({ lane }) => lane.name);
  if (failed.length) return `These did not arrive: ${failed.join(", ")}. Each lane says why.`;
  const ahead = sync.lane.first - stream.lane.first;
  if (ahead <= 0) return "The whole answer was as fast as the first streamed word, this time.";
  return `The stream's first word was there ${seconds(ahead)} before the synchronous `
    + `answer: after ${seconds(stream.lane.first)}, not ${seconds(sync.lane.first)}.`;
}
sendAll.addEventListener("click", startRace);

/* Ctrl+Enter (on a Mac also Cmd+Enter) sends what is being written */
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  if (event.target === shared) startRace();
  for (const panel of all) if (event.target === panel.editor) panel.send.click();
});

/* For the last row of a large room: 24 pixels, kept for the next visit */
const large = byId("large");
function enlarge(on) {
  document.documentElement.classList.toggle("large", on);
  large.setAttribute("aria-pressed", String(on));
  localStorage.setItem("large", String(on));
}
large.addEventListener("click", () => enlarge(large.getAttribute("aria-pressed") !== "true"));
enlarge(localStorage.getItem("large") === "true");

/* The service stopped: say how to start it, and go on by ourselves when it is back */
const notice = byId("stopped");
async function isThere() {
  try {
    return (await fetch("/health/live")).ok;
  } catch {
    return false;
  }
}
async function waitForService() {
  if (!notice.hidden) return;
  notice.textContent = `The service has stopped. Start it with: ${START}. `
    + "This page connects again by itself.";
  notice.hidden = false;
  do {
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
  } while (!await isThere() || !await connect());
  notice.hidden = true;
}
document.addEventListener("service-stopped", waitForService);
document.addEventListener("visibilitychange", async () => {
  if (!document.hidden && !await isThere()) waitForService();
});

/* The API: what was typed is converted, and comes back as it was typed */
const inBackground = ({ requests }) => ({ ...asResponse(requests[0]), background: true });
const convertibles = [
  new Convertible(shared, { responses: asResponse, chat: asChat }, pretty),
  new Convertible(sync.editor, { responses: asResponse, chat: asChat }, pretty),
  new Convertible(stream.editor,
    { responses: (body) => streamed(asResponse(body)), chat: asChat }, pretty),
  new Convertible(job.editor,
    { responses: inBackground, chat: (body) => ({ requests: [asChat(body)] }) }, pretty),
];
api.addEventListener("change", () => {
  for (const editor of convertibles) editor.to(api.value);
  for (const panel of all) panel.describe(api.value);
});

/* The model picker: real models, then what can go wrong */
let picked = "gpt-4o-mini";
let keysNeeded = false;

/** Writes a picked model into one editor; a model that was typed there by hand stays. */
function writeModel(editor, from, to) {
  editor.value = editor.value.replaceAll(/("model"\s*:\s*)("(?:[^"\\]|\\.)*")/g,
    (whole, name, value) => (value === JSON.stringify(from) ? name + JSON.stringify(to) : whole));
}
model.addEventListener("change", () => {
  for (const editor of [shared, ...all.map((panel) => panel.editor)]) {
    writeModel(editor, picked, model.value);
  }
  picked = model.value;
});
async function loadModels() {
  byId("key-field").hidden = !keysNeeded;
  if (keysNeeded && !key.value) { key.focus(); return; }
  const headers = key.value ? { Authorization: `Bearer ${key.value}` } : {};
  const response = await fetch("/v1/models", { headers });
  if (!response.ok) return;
  const ids = (await response.json()).data.map(({ id }) => id);
  const groups = { Models: ids.filter((id) => !id.startsWith("fault-")),
    "Faults on demand": ids.filter((id) => id.startsWith("fault-")) };
  model.replaceChildren(...Object.entries(groups).map(([label, names]) => {
    const group = Object.assign(document.createElement("optgroup"), { label });
    group.append(...names.filter((id) => !id.includes("embedding")).map((id) => new Option(id)));
    return group;
  }));
  if (ids.includes(picked)) model.value = picked;
  else model.selectedIndex = -1; // the requests keep their model; nothing is picked yet
}
/** Whether the service said what it has; one that shuts down refuses to. */
async function connect() {
  try {
    const response = await fetch("/console/about");
    if (!response.ok) return false;
    arrange(await response.json());
    await loadModels();
    return true;
  } catch {
    return false;
  }
}
function arrange(about) {
  keysNeeded = about.keys;
  if (!about.inbox) {
    hook.disable("There is no inbox here: the page has one only where everything runs in one "
      + "process, without keys. There, a job's webhook arrives on this page. Here, give a job "
      + 'the address of your own receiver: "webhook": {"url": ...}, in the panel beside this.');
  }
}
byId("controls").addEventListener("submit", (event) => event.preventDefault());
key.addEventListener("change", loadModels);
race.draw();
if (!await connect()) waitForService();
