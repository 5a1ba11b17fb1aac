"use strict";

const answer = document.getElementById("answer");
const send = document.getElementById("send");
const body = (question) => ({
  model: "gpt-4o-mini",
  messages: [{ role: "user", content: question }],
  stream: true,
});

document.getElementById("curl").textContent =
  `curl -N ${location.origin}/v1/chat/completions --json '` +
  JSON.stringify(body("Hello!")) + "'";

/** Yields the data of each event of a response, comments left out. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ")) yield line.slice(6);
    }
  }
}

async function ask(question) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body(question)),
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  for await (const data of events(response)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    for (const choice of chunk.choices) answer.textContent += choice.delta.content ?? "";
  }
  throw new Error("The answer broke off.");
}

document.getElementById("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  answer.textContent = "";
  send.disabled = true;
  try {
    await ask(document.getElementById("question").value);
  } catch (error) {
    answer.textContent += `\n[${error.message}]`;
  } finally {
    send.disabled = false;
  }
});
