/** The page at `/`: four panels, one for each way to answer. No build, no library. */

import { Panel, call, events, pretty } from "/console/wire.js";

const panels = document.getElementById("panels");
const model = document.getElementById("model");
const ask = (question) => [{ role: "user", content: question }];
const pause = (signal) => new Promise((resolve, reject) => {
  signal.addEventListener("abort", () => reject(new Error("cancelled")), { once: true });
  setTimeout(resolve, 300);
});

/** The editor's request, with the model that was picked. */
function request(panel) {
  const body = JSON.parse(panel.editor.value);
  for (const each of body.requests ?? [body]) each.model = model.value;
  panel.editor.value = pretty(body);
  return body;
}

/* 1. Synchronous */
const sync = new Panel(panels, {
  title: "Synchronous",
  what: "Ask, wait, get the whole answer. For short requests, under 5 seconds.",
  body: { model: "gpt-4o-mini", messages: ask("Why is async good for AI?"), max_tokens: 60 },
});
sync.send.addEventListener("click", () => sync.run(async (signal) => {
  const body = JSON.stringify(request(sync));
  const response = await call(sync, "POST", "/v1/chat/completions", { body, signal });
  const answer = await response.json();
  sync.log(JSON.stringify(answer).slice(0, 2000));
  sync.result.textContent = answer.choices[0].message.content;
}));

/* 2. Streaming; it can be cut and go on */
const stream = new Panel(panels, {
  title: "Streaming",
  what: "Words as they come, over SSE. Cancel cuts the wire; Resume goes on after the last id.",
  body: { model: "gpt-4o-mini", messages: ask("Why does streaming feel faster?"), stream: true },
  more: "Resume",
});
let place = {};
async function follow(response) {
  for await (const { id, data } of events(stream, response)) {
    place.last = id ?? place.last;
    if (data === "[DONE]") { place = {}; return; }
    const chunk = JSON.parse(data);
    if (chunk.error) { place = {}; throw new Error(chunk.error.message); }
    for (const choice of chunk.choices) stream.result.textContent += choice.delta.content ?? "";
  }
  throw new Error("The wire broke: resume.");
}
stream.send.addEventListener("click", async () => {
  place = {};
  await stream.run(async (signal) => {
    const body = JSON.stringify(request(stream));
    const headers = { "X-Resumable": "true" };
    const response = await call(stream, "POST", "/v1/chat/completions", { body, headers, signal });
    place.where = response.headers.get("content-location");
    await follow(response);
  });
  stream.more.disabled = !place.last;
});
stream.more.addEventListener("click", async () => {
  await stream.run(async (signal) => {
    const headers = { "Last-Event-ID": place.last };
    stream.log(`Last-Event-ID: ${place.last}`);
    await follow(await call(stream, "GET", place.where, { headers, signal }));
  }, true);
  stream.more.disabled = !place.last;
});

/* 3. Job */
function bar(panel, progress) {
  panel.progress.hidden = false;
  panel.progress.value = progress.done / progress.total;
  panel.say(`${progress.done} of ${progress.total}, ${progress.failed} failed`);
}
function outcome(panel, job) {
  bar(panel, job.progress);
  const lines = (job.results ?? []).map(({ index, response, error }) =>
    `${index + 1}. ${response?.choices[0].message.content ?? `✗ ${error.error.message}`}`);
  const cost = job.cost_usd === null ? "" : `, ${job.cost_usd} USD`;
  const { failed, total } = job.progress;
  const failures = failed ? `, ${failed} of ${total} failed` : "";
  panel.result.textContent = `${job.status}${failures}${cost}\n\n${lines.join("\n\n")}`;
}
async function work(panel, body, signal) {
  const text = JSON.stringify(body);
  const created = await call(panel, "POST", "/v1/jobs", { body: text, signal });
  const { id } = await created.json();
  const path = `/v1/jobs/${id}`;
  const cancel = () => call(panel, "DELETE", path).then(async (gone) =>
    outcome(panel, await gone.json())).catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  const following = await call(panel, "GET", `${path}/events`, { signal });
  for await (const { data } of events(panel, following)) {
    const { progress } = JSON.parse(data);
    if (progress) bar(panel, progress);
  }
  outcome(panel, await (await call(panel, "GET", path, { signal })).json());
  signal.removeEventListener("abort", cancel);
  return id;
}
const job = new Panel(panels, {
  title: "Job",
  what: "A batch in the background: 202 at once, then progress. Cancel stops it for real.",
  body: { requests: ["What is a token?", "What is a queue?", "What is backpressure?"]
    .map((question) => ({ model: "gpt-4o-mini", messages: ask(question), max_tokens: 40 })) },
});
job.send.addEventListener("click", () =>
  job.run((signal) => work(job, request(job), signal)));

/* 4. Webhook */
const hook = new Panel(panels, {
  title: "Webhook",
  what: "We call you when it is done. Each call is signed; a forged one is turned away.",
  body: { requests: [{ model: "gpt-4o-mini", messages: ask("Say when you are done."),
    max_tokens: 40 }] },
  more: "Forge",
});
hook.more.disabled = false;
async function arrived(id, signal) {
  for (;;) {
    const response = await fetch("/inbox", { signal });
    const { received } = await response.json();
    const found = received.find(({ event }) => event.data.id === id);
    if (found) return found;
    await pause(signal);
  }
}
hook.send.addEventListener("click", async () => {
  await hook.run(async (signal) => {
    const inbox = await call(hook, "GET", "/inbox", { signal });
    const { secret } = await inbox.json();
    const webhook = { url: `${location.origin}/inbox`, secret };
    const id = await work(hook, { ...request(hook), webhook }, signal);
    const { headers, event } = await arrived(id, signal);
    hook.log("→ POST /inbox, from the service");
    for (const [name, value] of Object.entries(headers)) hook.log(`${name}: ${value}`);
    hook.log("← 204, the signature verifies", "good");
    hook.result.textContent = `✓ signature verified\n\n${pretty(event)}`;
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
  hook.result.textContent = "✗ turned away: no known secret made this signature.";
  hook.more.disabled = false;
});

const about = await (await fetch("/console/about")).json();
if (!about.inbox) {
  hook.disable("There is no inbox here: the page has one only where everything runs in one "
    + "process, without keys. There, a job's webhook arrives on this page. Here, give a job "
    + 'the address of your own receiver: "webhook": {"url": ...}, in the panel beside this.');
}

/* The model picker: real models, then what can go wrong */
const key = document.getElementById("key");
async function pick() {
  document.getElementById("key-field").hidden = !about.keys;
  if (about.keys && !key.value) { key.focus(); return; }
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
  if (ids.includes("gpt-4o-mini")) model.value = "gpt-4o-mini";
}
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
key.addEventListener("change", pick);
await pick();
