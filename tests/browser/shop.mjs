// The shop of examples/shop: a guest fills a cart, registers in the middle of the checkout, and orders.
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Person } from "./person.mjs";
import { Processes, freePort } from "./processes.mjs";
import { assert } from "./report.mjs";
import { Stage, folder, startServer } from "./stages.mjs";

const README = readFileSync(new URL("../../examples/shop/README.md", import.meta.url), "utf8");
export const PASSWORD = "a phrase that nobody guesses";

/** The demo, the shop in front of it, and a clerk. */
export async function openShop(tools) {
  const processes = new Processes(folder(tools, "shop"));
  tools.opened(processes);
  const server = await startServer(processes, tools, []);
  const port = await freePort();
  await server.command(["client", "update", "demo-app", "--site", `http://localhost:${port}/auth`]);
  const addresses = [`127.0.0.1:${port}`, `http://${server.http}`, `http://${server.check}`, server.issuer];
  await processes.start("shop", join(tools.programs, "shop"), addresses);
  const plainName = (name) => (name.endsWith(`-${port}`) ? name.slice(0, -`-${port}`.length) : `${name}, which is not ours`);
  const stage = new Stage("shop", processes, server, { origin: `http://localhost:${port}`, client: "demo-app", secure: false, plainName });
  await printed(stage, "role create clerk --permission orders.manage@demo-api");
  await printed(stage, "role assign clerk ada");
  return stage;
}

/** Runs a command that the shop's page prints. */
export function printed(stage, line) {
  assert(README.includes(`\ncargo run -- ${line} --data-dir chancery-dev\n`), `examples/shop/README.md does not print ${line}`);
  return stage.command(line.split(" "));
}

/** From the first visit to the first order. Returns the customer, in whose cart there is something again. */
export async function shopStory(step, browser, stage, options) {
  const email = `judy-${options.scripts ? "on" : "off"}@example.com`;
  const judy = await Person.arrives(browser, stage, options);
  const read = new Set();

  await step("a guest fills a cart, which is when the session begins", () => fillsCart(judy));
  await step("the first step of the checkout survives a reload and a second tab", () => saysWhereTo(judy));
  const before = (await judy.cookies()).get("chancery-session")?.value;
  await step("registers in the middle of it, and goes on where it was", async () => {
    await judy.press("#register");
    await judy.isAt("/auth/register");
    await judy.send({ email, password: PASSWORD });
    await judy.page.waitForSelector("#code");
    await judy.send({ code: (await stage.mail(email, "verify_email", read)).code });
    await judy.isAt("/checkout/delivery");
    await judy.sees("To Judy Hopps, Burrow 1.");
    assert((await judy.cookies()).get("chancery-session").value !== before, "the guest's cookie is the user's");
    await hasCart(judy, ["1 × Quill", "2 × Iron gall ink"], "€ 22.50");
  });
  await step("the guest's cookie is worth nothing any more", () => replays(judy, before));
  await step("a second tab goes on with the form, and the first one finds what was filled in", async () => {
    const tab = await judy.secondTab();
    await tab.open("/checkout/delivery");
    await tab.page.locator("#courier").check();
    await tab.press("#next");
    await tab.isAt("/checkout/confirm");
    await tab.page.close();
    await judy.open("/checkout");
    await judy.isAt("/checkout/confirm");
    await judy.sees("by courier, to Judy Hopps, Burrow 1.");
    await judy.looksAtPage("shop-confirm");
  });
  await step("what a second tab adds is not ordered before it was shown", () => isAskedAgain(judy));
  await step("two clicks order once", async () => {
    const tab = await judy.secondTab();
    await tab.open("/checkout/confirm");
    await Promise.all([judy, tab].map((one) => one.press("#order")));
    await tab.page.close();
    await judy.open("/orders");
    await judy.sees("€ 28.70, to Burrow 1");
    assert((await judy.page.locator("#orders li").count()) === 1, "there is more than one order");
  });
  await step("the cart is empty, and is filled again", async () => {
    await judy.open("/cart");
    await judy.sees("There is nothing in it.");
    await adds(judy, "seal");
    await hasCart(judy, ["1 × Brass seal"]);
  });
  return { person: judy, email, read };
}

async function fillsCart(judy) {
  await judy.open("/");
  await judy.isAt("/");
  assert(!(await judy.cookies()).has("chancery-session"), "a visit alone began a session");
  await adds(judy, "quill", "ink", "ink");
  await hasCart(judy, ["1 × Quill", "2 × Iron gall ink"], "€ 22.50");
  assert((await judy.cookies()).has("chancery-session"), "there is no session");
  await saysWho(judy, "Guest");
  await judy.looksAtPage("shop-cart");
  await comesByLink(judy);
  await judy.sees("In your cart: 3");
  await judy.open("/cart");
}

async function saysWhereTo(judy) {
  await judy.press("#to-checkout");
  await judy.isAt("/checkout/address");
  await judy.send({ recipient: "Judy Hopps", street: "Burrow 1" });
  await judy.isAt("/checkout/delivery");
  await judy.page.reload();
  await judy.sees("Your cart and your address are kept, Judy Hopps.");
  const tab = await judy.secondTab();
  await tab.open("/checkout/address");
  assert((await tab.page.locator("#street").inputValue()) === "Burrow 1", "the second tab has no address");
  await tab.page.close();
}

/** Follows a link to the shop that stands on another site. */
async function comesByLink(person) {
  await person.page.goto("about:blank");
  await person.page.setContent(`<a id="link" href="${person.stage.origin}/">A shop</a>`);
  const asked = person.page.waitForRequest(`${person.stage.origin}/`);
  await person.press("#link");
  await person.isAt("/");
  const from = (await (await asked).allHeaders())["sec-fetch-site"];
  assert(from === "cross-site", `the link is from ${from}`);
}

async function isAskedAgain(judy) {
  const tab = await judy.secondTab();
  await adds(tab, "wax");
  await tab.page.close();
  await judy.press("#order");
  await judy.isAt("/checkout/confirm");
  await judy.sees("Your order has changed meanwhile");
  await judy.sees("1 × Sealing wax");
  const orders = await judy.secondTab();
  await orders.open("/orders");
  await orders.sees("None yet");
  await orders.page.close();
}

export async function adds(person, ...products) {
  for (const product of products) {
    await person.open("/");
    await person.isAt("/");
    await person.press(`#add-${product}`);
    await person.isAt("/cart");
  }
}

export async function hasCart(person, lines, total) {
  await person.open("/cart");
  const seen = (await person.page.locator("#lines li").allInnerTexts()).map((line) => line.split(",")[0]);
  assert(seen.join() === lines.join(), `in the cart: ${seen.join()}`);
  if (total) assert((await person.page.locator("#total").innerText()) === total, "the total is another one");
}

export async function saysWho(person, name) {
  const said = await person.page.locator("#who").innerText();
  assert(said === name, `the shop says ${said}`);
}

/** Somebody who has kept the guest's cookie opens the shop with it. */
async function replays(person, value) {
  const cookie = (await person.cookies()).get("chancery-session");
  const headers = { cookie: `${cookie.name}=${value}` };
  const answer = await fetch(`${person.stage.origin}/auth/session`, { headers });
  assert(answer.status === 401, `the guest's cookie is answered with ${answer.status}`);
}
