// Starts programs and ends them by their ids. Whatever happens, nothing outlives this process by more than a moment.
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const READY = 60_000;

/** A port that is free at this moment. */
export function freePort() {
  return new Promise((found, failed) => {
    const server = createServer().once("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
}

export class Processes {
  #running = new Map();

  constructor(dir) {
    this.dir = dir;
  }

  /** Starts a program, and returns what its first line of the form `ready …` says, or `{}` once `answers()` is true. */
  async start(name, program, args, { env = {}, answers, cwd } = {}) {
    const log = join(this.dir, `${name}.log`);
    const out = openSync(log, "w");
    const child = spawn(program, args, { cwd, stdio: ["ignore", "pipe", out], env: { ...process.env, ...env } });
    closeSync(out);
    const ended = new Promise((end) => child.once("close", end).once("error", end));
    this.#running.set(name, { child, ended });
    const says = () => `${name} does not start: ${readFileSync(log, "utf8").slice(-2000)}`;
    const stop = ended.then(() => { throw new Error(says()); });
    stop.catch(() => {});
    return within(READY, Promise.race([stop, answers ? until(answers) : readyLine(child)]), says);
  }

  /** Ends one program, at once if it does not within five seconds. */
  async end(name) {
    const { child, ended } = this.#running.get(name);
    this.#running.delete(name);
    child.kill("SIGTERM");
    const force = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await ended;
    clearTimeout(force);
  }

  async endAll() {
    await Promise.all([...this.#running.keys()].map((name) => this.end(name)));
  }

  /** For an exit that waits for nothing. */
  killAll() {
    for (const { child } of this.#running.values()) child.kill("SIGKILL");
  }
}

function readyLine(child) {
  return new Promise((found) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (piece) => {
      text += piece;
      const line = text.split("\n").find((line) => line.startsWith("ready "));
      if (line) found(Object.fromEntries(line.trim().split(" ").slice(1).map((word) => word.split(/=(.*)/s, 2))));
    });
  });
}

/** Asks again and again until the answer is true. */
export async function until(question) {
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    await new Promise((soon) => setTimeout(soon, 50));
  }
}

/** The promise's value, or an error after so many milliseconds. */
export async function within(ms, promise, says) {
  let timer;
  const late = new Promise((_, failed) => {
    timer = setTimeout(() => failed(new Error(typeof says === "function" ? says() : says)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether somebody answers HTTP there, whatever the answer is. */
export const answersAt = (url) => async () => {
  try {
    await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(5_000) });
    return true;
  } catch {
    return false;
  }
};
