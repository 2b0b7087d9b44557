// The applications of docs/web.md, as a developer starts them: installed, started, and signed in through. `scripts/browser
// --web` runs it.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Person } from "./person.mjs";
import { Processes, answersAt, freePort } from "./processes.mjs";
import { assert } from "./report.mjs";
import { APPLICATIONS, Stage, folder, loopback, startServer } from "./stages.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const run = (cwd, program, ...args) => execFileSync(program, args, { cwd, stdio: "pipe", timeout: 300_000 });

/** A copy of an example with its packages. Those of the last run are kept. */
function installed({ at }, name) {
  const [from, dir] = [join(ROOT, "examples", name), join(at, name)];
  const packages = join(from, "package.json");
  const same = existsSync(join(dir, "installed.json")) && readFileSync(join(dir, "installed.json")).equals(readFileSync(packages));
  if (!same) rmSync(dir, { recursive: true, force: true });
  cpSync(from, dir, { recursive: true, filter: (path) => !path.includes("node_modules") });
  if (!same) {
    run(dir, "npm", "install", "--no-audit", "--no-fund", "--silent");
    cpSync(packages, join(dir, "installed.json"));
  }
  return dir;
}

Object.assign(APPLICATIONS, {
  async fastapi(processes, { at }, port, server) {
    const [from, venv] = [join(ROOT, "examples/fastapi"), join(at, "fastapi")];
    const wanted = readFileSync(join(from, "requirements.txt"));
    if (!existsSync(join(venv, "requirements.txt")) || !readFileSync(join(venv, "requirements.txt")).equals(wanted)) {
      rmSync(venv, { recursive: true, force: true });
      run(at, "python3", "-m", "venv", venv);
      run(at, join(venv, "bin/pip"), "install", "-q", "--disable-pip-version-check", "-r", join(from, "requirements.txt"));
      writeFileSync(join(venv, "requirements.txt"), wanted);
    }
    const args = ["--app-dir", from, "app:app", "--port", String(port)];
    const env = { PYTHONDONTWRITEBYTECODE: "1", ISSUER: server.issuer };
    await processes.start("fastapi", join(venv, "bin/uvicorn"), args, { env, answers: answersAt(`http://127.0.0.1:${port}/`) });
  },
  async next(processes, tools, port) {
    const dir = installed(tools, "next");
    const args = [join(dir, "node_modules/next/dist/bin/next"), "dev", dir, "--hostname", "127.0.0.1", "--port", String(port)];
    const env = { NEXT_TELEMETRY_DISABLED: "1" };
    await processes.start("next", process.execPath, args, { cwd: dir, env, answers: answersAt(`http://127.0.0.1:${port}/`) });
  },
  async "vite-spa"(processes, tools, port, server) {
    const dir = installed(tools, "vite-spa");
    const api = await freePort();
    const page = server.app?.replace(/\/$/, "");
    if (page) await processes.start("api", process.execPath, [join(dir, "api.mjs"), String(api), server.issuer, page], { cwd: dir });
    const args = [join(dir, "node_modules/vite/bin/vite.js"), "--port", String(port)];
    const env = { VITE_API: `http://127.0.0.1:${api}`, VITE_ISSUER: server.issuer };
    await processes.start("vite", process.execPath, args, { cwd: dir, env, answers: answersAt(`http://127.0.0.1:${port}/`) });
  },
});

/** What docs/web.md promises of every application that is rendered on a server. */
export async function serverStory(step, browser, stage, options, [username, password]) {
  const person = await Person.arrives(browser, stage, options);
  const opens = async (path, text) => {
    await person.open(path);
    await person.page.getByText(text).waitFor();
  };
  await step("nobody is signed in at first, and a page for members leads to the sign-in and back", async () => {
    await opens("/", "Nobody is signed in.");
    await person.press('a[href="/sign-in/"]');
    await person.isAt("/auth/login");
    await person.send({ username, password });
    await person.isAt("/sign-in/");
    await person.page.getByText("For members only.").waitFor();
    await opens("/", "Hello ");
  });
  await step("a page for a permission is refused without it", () => opens("/refunds/", "You may not refund orders."));
  await step("a form of another origin is refused before the application sees it", () => isRefusedFromElsewhere(person, stage));
  await step("signs out", async () => {
    await person.open("/");
    await person.press('a[href="/sign-out/"]');
    await person.press("#logout-confirm");
    await person.sees("Signed out");
    await opens("/", "Nobody is signed in.");
  });
  await step("a role with the permission opens the page", async () => {
    await stage.command(["role", "create", "clerk", "--permission", "orders.refund@demo-api"]);
    await stage.command(["role", "assign", "clerk", username]);
    await person.open("/sign-in/");
    await person.send({ username, password });
    await person.isAt("/sign-in/");
    await opens("/refunds/", "For clerks only.");
  });
  await person.leaves();
}

/** A page of another origin below the same host sends a form. From another host, the cookie would not even come. */
async function isRefusedFromElsewhere(person, stage) {
  const page = `<!doctype html><html lang=en><title>x</title><form method=post action="${stage.origin}/"><button id=go>Go</button></form>`;
  const evil = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(page));
  await new Promise((listening) => evil.listen(0, "127.0.0.1", listening));
  const tab = await person.secondTab();
  await tab.page.goto(`http://localhost:${evil.address().port}/`);
  const answer = tab.page.waitForResponse((response) => response.url() === `${stage.origin}/`);
  await tab.page.click("#go");
  const status = (await answer).status();
  assert(status === 403, `the answer was ${status}`);
  await tab.page.close();
  evil.close();
}

/** The API of an application, called with a token and without a browser. */
export async function apiStory(step, stage, path, [login, password]) {
  await step("its API takes a token, and nothing else", async () => {
    const call = await fetch(`${stage.server.issuer}/chancery.v1.AuthService/Login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ clientId: "demo-app", login, password }),
    });
    const { tokens } = await call.json();
    const ask = (authorization) => fetch(`${stage.origin}${path}`, { headers: authorization ? { authorization } : {} });
    const answer = await ask(`Bearer ${tokens.accessToken}`);
    assert(answer.status === 200, `${answer.status} with a token`);
    assert((await answer.json()).orders.includes("tea"), "no orders");
    for (const bad of [undefined, "Bearer x.y.z", `Bearer ${tokens.accessToken.slice(0, -8)}AAAAAAAA`]) {
      const { status } = await ask(bad);
      assert(status === 401, `${status} with ${bad}`);
    }
  });
}

/** The page without a server of its own, which gets a token from the session's cookie. */
export async function pageStory(step, browser, stage, options, [username, password]) {
  const person = await Person.arrives(browser, stage, options);
  await step("nobody is signed in at first", async () => {
    await person.open("/");
    await person.page.getByText("Nobody is signed in.").waitFor();
  });
  await step("signs in at the pages, and the API takes the page's token", async () => {
    await person.press('a[href="/auth/login"]');
    await person.isAt("/auth/login");
    await person.send({ username, password });
    await person.isAt("/");
    await person.page.getByText("Hello ").waitFor();
    await person.page.getByText("tea, biscuits").waitFor();
  });
  await step("the token is in memory only", async () => {
    const kept = await person.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])");
    assert(kept === '[{},{},""]', kept);
  });
  await step("signs out", async () => {
    await person.press('a[href="/auth/logout"]');
    await person.press("#logout-confirm");
    await person.sees("Signed out");
    await person.open("/");
    await person.page.getByText("Nobody is signed in.").waitFor();
  });
  await person.leaves();
}

/** The same page, calling the server from an origin of its own. */
export async function callingPage(tools) {
  const processes = new Processes(folder(tools, "calling-page"));
  tools.opened(processes);
  const server = await startServer(processes, tools, []);
  const port = await freePort();
  const dir = installed(tools, "vite-spa");
  const plan = join(dir, "buf.gen.yaml");
  writeFileSync(plan, readFileSync(plan, "utf8").replace("../../proto", join(ROOT, "proto")));
  run(dir, "npm", "run", "--silent", "generate");
  await APPLICATIONS["vite-spa"](processes, tools, port, { issuer: server.issuer });
  const origin = `http://localhost:${port}`;
  await server.command(["client", "update", "demo-app", "--cors-origin", origin]);
  return new Stage("a page that calls", processes, server, { origin, port, secure: false, plainName: (name) => name });
}

export async function callingStory(step, browser, stage, options, [username, password]) {
  const person = await Person.arrives(browser, stage, options);
  const signsIn = async (password) => {
    await person.page.fill("#username", username);
    await person.page.fill("#password", password);
    await person.page.click("#login-submit");
  };
  await step("a wrong password is told by its reason", async () => {
    await person.open("/rpc.html");
    await signsIn("not the phrase that it is");
    await person.page.getByText("Wrong user name or password.").waitFor();
  });
  await step("signs in by a call, and lists the sessions", async () => {
    await signsIn(password);
    await person.page.getByText(", this one").waitFor();
  });
  await step("another origin gets no answer", async () => {
    await person.page.goto(`http://127.0.0.1:${stage.port}/rpc.html`);
    await signsIn(password);
    await person.page.locator("#problem", { hasText: "fetch" }).waitFor();
    const complaints = person.complaints.splice(0);
    assert(complaints.some((line) => line.includes("CORS policy")), complaints.join("\n"));
  });
  await person.leaves();
}
