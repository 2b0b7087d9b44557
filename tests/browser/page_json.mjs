// The pages in JSON: a page of the application signs in by the program of docs/page-json.md, and a page elsewhere cannot.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { Person } from "./person.mjs";
import { assert } from "./report.mjs";

const DOCS = readFileSync(fileURLToPath(new URL("../../docs/page-json.md", import.meta.url)), "utf8");
const PROGRAM = DOCS.split("\n```js\n")[1].split("\n```")[0];

export async function jsonStory(step, browser, stage, options, [username, password]) {
  const person = await Person.arrives(browser, stage, options);
  const run = (program) => person.page.evaluate(`(async () => { ${program} })()`);
  const session = () => run('return (await fetch("/auth/session")).status');
  await step("a wrong password is said in words", async () => {
    await person.open("/");
    const program = PROGRAM.replace("horse", "cow").replace("console.error(", "globalThis.said = [").replace("text);", "text];");
    await run(program);
    const said = await run("return globalThis.said");
    assert(String(said) === "login,Name or password is wrong.", `it said ${said}`);
    assert((await session()) === 401, "somebody is signed in");
  });
  await step("a page elsewhere sends everything that a browser lets it, and nobody is signed in", async () => {
    const held = await run(`return (await fetch("/auth/login", { headers: { Accept: "application/json" } })).json()`);
    const form = held.fields.find((field) => field.name === "form").value;
    const sent = await fromElsewhere(person, `${stage.origin}${held.url}`, { csrf: held.csrf, form, username, password });
    assert(String(sent) === "refused,opaque,opaque,refused", `the browser said ${sent}`);
    assert((await session()) === 401, "somebody is signed in");
  });
  await step("the right password leads to where the page wanted to go", async () => {
    await Promise.all([person.isAt("/sign-in/"), run(PROGRAM.replace("/cart", "/sign-in/")).catch(() => {})]);
    await person.sees("For members only.");
    assert((await session()) === 200, "nobody is signed in");
    assert(!String(await run("return document.cookie")).includes("session"), "a script reads the session's cookie");
  });
  await step("the account says who that is, and signs out", async () => {
    const out = await run(`
      const ask = async (path) => (await fetch(path, { headers: { Accept: "application/json" } })).json();
      const account = await ask("/auth/account");
      const step = await ask("/auth/logout");
      const body = JSON.stringify({ csrf: step.csrf });
      const sent = await fetch(step.url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
      return [account.name, account.sessions.length > 0, (await sent.json()).step];
    `);
    assert(String(out) === `${username},true,signed_out`, `it said ${out}`);
    assert((await session()) === 401, "somebody is signed in");
  });
  await person.leaves();
}

/** What becomes of the same fields, sent as JSON, as text, as a form, and of a question, from another origin. */
async function fromElsewhere(person, url, fields) {
  const evil = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html>"));
  await new Promise((listening) => evil.listen(0, "127.0.0.1", listening));
  const page = await person.context.newPage();
  await page.goto(`http://127.0.0.1:${evil.address().port}/`);
  const sent = await page.evaluate(async ([url, fields]) => {
    const body = JSON.stringify(fields);
    const send = (options) => fetch(url, { credentials: "include", ...options }).then((answer) => answer.type, () => "refused");
    return [
      await send({ method: "POST", headers: { "Content-Type": "application/json" }, body }),
      await send({ method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body }),
      await send({ method: "POST", mode: "no-cors", body: new URLSearchParams(fields) }),
      await send({ headers: { Accept: "application/json" } }),
    ];
  }, [url, fields]);
  await page.close();
  evil.close();
  return sent;
}
