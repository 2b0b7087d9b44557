// Calls over HTTP from pages at other origins, by the clients in tests/foreign/calls and by `fetch`: with the origin
// declared, and without.
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { fileURLToPath } from "node:url";

import { Processes } from "./processes.mjs";
import { assert } from "./report.mjs";
import { Stage, folder, startServer } from "./stages.mjs";

const SOURCES = fileURLToPath(new URL("../foreign/calls/", import.meta.url));
const PROTO = fileURLToPath(new URL("../../proto/", import.meta.url));
const LOGIN = "/chancery.v1.AuthService/Login";
const WATCHERS = "watchers";

const listening = (server) => new Promise((found) => server.listen(0, "127.0.0.1", () => found(server.address().port)));

/** One script of the clients and of all that they need, as a bundler makes it for a page. */
function bundle({ at }, dir) {
  const packages = join(at, "calls");
  cpSync(SOURCES, packages, { recursive: true, filter: (path) => !path.endsWith("package.json") });
  const run = (name, ...args) => execFileSync(join(packages, "node_modules/.bin", name), args, {
    cwd: packages, stdio: "pipe", env: { ...process.env, PATH: `${join(packages, "node_modules/.bin")}:${process.env.PATH}` },
  });
  run("buf", "generate", PROTO);
  const script = join(dir, "calls.js");
  run("esbuild", "browser.mjs", "--bundle", "--log-level=warning", `--outfile=${script}`);
  return readFileSync(script);
}

/** Passes everything on to the server, and keeps what browsers asked. */
function recorder(to, asked) {
  return createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const onward = request(`http://${to}${url}`, { method, headers }, (answer) => {
      asked.push({ method, url, headers, status: answer.statusCode, answer: answer.headers });
      outgoing.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
}

export async function foreignPages(tools) {
  const processes = new Processes(folder(tools, "foreign-pages"));
  tools.opened(processes);
  const server = await startServer(processes, tools, []);
  const asked = [];
  const between = recorder(server.http, asked);
  const page = '<!doctype html><html lang="en"><title>Calls</title><script src="/calls.js"></script>';
  const script = bundle(tools, processes.dir);
  const pages = createServer(({ url }, response) => {
    const isScript = url === "/calls.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html").end(isScript ? script : page);
  });
  const [issuer, port] = [`http://127.0.0.1:${await listening(between)}`, await listening(pages)];
  const origin = `http://127.0.0.1:${port}`;
  await server.command(["client", "update", "demo-app", "--cors-origin", origin]);
  await server.command(["role", "create", WATCHERS, "--permission", "revocations.read"]);
  await server.command(["role", "assign", WATCHERS, "ada"]);
  const person = { issuer, audience: server.issuer, clientId: "demo-app" };
  const end = () => [between, pages].forEach((one) => { one.closeAllConnections(); one.close(); });
  return new Stage("foreign pages", processes, server, { origin, foreign: `http://localhost:${port}`, asked, person, end });
}

function equal(found, wanted) {
  assert(isDeepStrictEqual(found, wanted), `${JSON.stringify(found)}, and not ${JSON.stringify(wanted)}`);
}

const REFUSED = "Unauthenticated chancery";
const LEARNED = {
  result: "tokens", requestId: "req_", refreshed: true, lives: true, current: [true], keys: true,
  wrongPassword: `${REFUSED} INVALID_CREDENTIALS`, wrongClient: `${REFUSED} CLIENT_AUTHENTICATION_FAILED`,
  noToken: `${REFUSED} TOKEN_INVALID`, badToken: `${REFUSED} TOKEN_INVALID`, noField: "InvalidArgument chancery INVALID_ARGUMENT",
  tooLarge: "OutOfRange chancery REQUEST_TOO_LARGE", signedOut: `${REFUSED} SESSION_REVOKED`,
};

export async function foreignPagesStory(step, browser, stage, [login, password]) {
  const { asked } = stage;
  const person = { ...stage.person, login, password };
  const context = await browser.newContext();
  // Of another port of the same host, so the browser would send it if it were asked to.
  await context.addCookies([{ name: "chancery-session-8080", value: "x", url: person.issuer, httpOnly: true }]);
  const page = await context.newPage();
  const run = (name, ...args) => page.evaluate(([name, args]) => window.calls[name](...args), [name, args]);

  await page.goto(stage.origin);
  await step("connect-web calls by JSON", async () => equal(await run("unary", "json", person), LEARNED));
  await step("connect-web calls by gRPC-Web", async () => equal(await run("unary", "web", person), LEARNED));
  await step("connect-web watches keys and revocations", async () => equal(await run("streams", person), {
    keys: true, seen: ["heartbeat", "revocation", "snapshot"], unauthorized: `${REFUSED} TOKEN_INVALID`,
  }));
  for (const format of ["text", "binary"]) {
    await step(`grpc-web calls, its format ${format}`, async () => equal(await run("grpcWeb", person, format), {
      refreshed: true, current: [true], keys: true, wrongPassword: `${REFUSED} INVALID_CREDENTIALS`,
      noToken: `${REFUSED} TOKEN_INVALID`, noField: "InvalidArgument chancery INVALID_ARGUMENT",
    }));
  }
  await step("fetch calls by JSON, and reads the reason and the request's id", async () => equal(await run("byHand", person), {
    refreshed: true, current: true, wrong: [401, "unauthenticated", "INVALID_CREDENTIALS", "req_"],
  }));
  await step("preflights are remembered, and allow just what these clients send", async () => {
    const preflights = asked.filter(({ method }) => method === "OPTIONS");
    const list = (text = "") => text.split(",").map((name) => name.trim()).filter(Boolean);
    const wanted = new Set(preflights.flatMap(({ headers }) => list(headers["access-control-request-headers"])));
    for (const { answer } of preflights) {
      equal([answer["access-control-allow-methods"], answer["access-control-allow-origin"]], ["POST", stage.origin]);
      equal(list(answer["access-control-allow-headers"]).sort(), [...wanted].sort());
      assert(!("access-control-allow-credentials" in answer), "cookies are allowed");
    }
    const calls = asked.filter(({ method, url }) => method === "POST" && url === LOGIN).length;
    const before = preflights.filter(({ url }) => url === LOGIN).length;
    assert(before * 2 < calls, `${before} preflights for ${calls} calls`);
  });
  await step("no call has a cookie, and one that is to have it is not even sent", async () => {
    assert(asked.every(({ headers, answer }) => !headers.cookie && !answer["set-cookie"]), "a cookie was sent");
    equal(await run("withCookies", person), "TypeError");
    equal([asked.at(-1).method, asked.at(-1).headers.cookie], ["OPTIONS", undefined]);
  });
  await step("a page of an origin that is not declared reaches nothing", async () => {
    await page.goto(stage.foreign);
    asked.length = 0;
    // More than enough for a wrong password to have to wait.
    for (let round = 0; round < 12; round += 1) {
      equal(await run("attacks", person), {
        json: "TypeError", withCookies: "TypeError", grpcWeb: "TypeError", plain: "TypeError", plainUnread: "opaque",
        jsonUnread: "opaque", form: "opaque", multipart: "opaque", beacon: true,
      });
    }
    const answers = asked.map(({ method, status, answer }) => `${method} ${status} ${answer["access-control-allow-origin"]}`);
    equal([...new Set(answers)].sort(), ["OPTIONS 403 undefined", "POST 415 undefined"]);
  });
  await step("nor does its form", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
      await page.goto(stage.foreign);
      const arrived = page.waitForURL(`${person.issuer}${LOGIN}`);
      const answer = page.waitForResponse((response) => response.url().endsWith(LOGIN));
      await page.evaluate(([action, enctype]) => {
        const form = Object.assign(document.createElement("form"), { method: "post", action, enctype });
        const name = '{"clientId":"demo-app","login":"ada","password":"a wrong pass phrase","x":"';
        form.append(Object.assign(document.createElement("input"), { name, value: '"}' }));
        document.body.append(form);
        form.submit();
      }, [`${person.issuer}${LOGIN}`, type]);
      equal((await answer).status(), 415);
      await arrived;
    }
  });
  await step("nobody has to wait for what such pages tried, and who tries too often does", async () => {
    await page.goto(stage.origin);
    equal((await run("byHand", person)).refreshed, true);
    const { told, header } = await run("waiting", "json", { ...person, login: "nobody" });
    equal([told, Number(header) >= 1], ["ResourceExhausted chancery TOO_MANY_ATTEMPTS", true]);
  });
  await context.close();
  stage.end();
}
