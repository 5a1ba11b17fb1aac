// Express on Node. PORT: where to listen. WORKERS: processes that share it.
import cluster from "node:cluster";
import { setTimeout as sleep } from "node:timers/promises";
import express from "express";

const MODEL_MS = 200;
const CALLS = 10;
const ANSWER = { message: "Hello, World!", tokens: [1, 2, 3], cached: false };
const workers = Number(process.env.WORKERS ?? 1);

if (workers > 1 && cluster.isPrimary) {
  for (let n = 0; n < workers; n++) cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  const app = express();
  app.get("/json", (_, answer) => answer.json(ANSWER));
  app.get("/model", async (_, answer) => {
    await sleep(MODEL_MS);
    answer.json(ANSWER);
  });
  app.get("/fanout", async (_, answer) => {
    await Promise.all(Array.from({ length: CALLS }, () => sleep(MODEL_MS)));
    answer.json(ANSWER);
  });
  app.listen(Number(process.env.PORT), "127.0.0.1");
}
