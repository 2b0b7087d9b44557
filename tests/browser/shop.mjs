// The shop of examples/shop: a guest fills a cart, registers in the middle of the checkout, and finds the cart on another
// device, after a sign-in with two factors.
import { createHmac } from "node:crypto";
import { join } from "node:path";

import { Person } from "./person.mjs";
import { Processes, freePort } from "./processes.mjs";
import { assert } from "./report.mjs";
import { Stage, folder, startServer } from "./stages.mjs";

const PASSWORD = "a phrase that nobody guesses";

/** The demo, and the shop in front of it. */
export async function openShop(tools) {
  const processes = new Processes(folder(tools, "shop"));
  tools.opened(processes);
  const server = await startServer(processes, tools, []);
  const port = await freePort();
  await server.command(["client", "update", "demo-app", "--site", `http://localhost:${port}/auth`]);
  const addresses = [`127.0.0.1:${port}`, `http://${server.http}`, `http://${server.check}`, server.issuer];
  await processes.start("shop", join(tools.programs, "shop"), addresses);
  const plainName = (name) => (name.endsWith(`-${port}`) ? name.slice(0, -`-${port}`.length) : `${name}, which is not ours`);
  return new Stage("shop", processes, server, { origin: `http://localhost:${port}`, client: "demo-app", secure: false, plainName });
}

/** The code of RFC 6238 for now and so many steps of 30 seconds later. */
export function totp(secret, offset = 0) {
  const bits = [...secret.replace(/ /g, "")].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0"));
  const key = Buffer.from(bits.join("").match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + offset));
  const digest = createHmac("sha1", key).update(counter).digest();
  const at = digest[19] & 15;
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

export async function shopStory(step, browser, stage, options) {
  const email = `judy-${options.scripts ? "on" : "off"}@example.com`;
  const judy = await Person.arrives(browser, stage, options);
  const read = new Set();

  await step("a guest fills a cart, which is when the session begins", async () => {
    await judy.open("/");
    await judy.isAt("/");
    assert(!(await judy.cookies()).has("chancery-session"), "a visit alone began a session");
    for (const product of ["quill", "ink", "ink"]) {
      await judy.open("/");
      await judy.press(`#add-${product}`);
    }
    await judy.isAt("/cart");
    await hasCart(judy, ["1 × Quill", "2 × Iron gall ink"], "€ 22.50");
    assert((await judy.cookies()).has("chancery-session"), "there is no session");
    await saysWho(judy, "Guest");
  });
  await step("the first step of the checkout survives a reload and a second tab", async () => {
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
  });
  const before = (await judy.cookies()).get("chancery-session").value;
  await step("registers in the middle of it, and goes on where it was", async () => {
    await judy.press("#register");
    await judy.isAt("/auth/register");
    await judy.send({ email, password: PASSWORD });
    await judy.page.waitForSelector("#code");
    await judy.send({ code: (await stage.mail(email, "verify_email", read)).code });
    await judy.isAt("/checkout/delivery");
    await judy.sees("To Judy Hopps, Burrow 1.");
    assert((await judy.cookies()).get("chancery-session").value !== before, "the guest's cookie is the user's");
  });
  await step("the guest's cookie is worth nothing any more", () => replays(judy, before));
  await step("a second tab of the form goes on too, and two clicks order once", async () => {
    const tab = await judy.secondTab();
    await tab.open("/checkout/delivery");
    await tab.page.locator("#courier").check();
    await tab.press("#next");
    await tab.isAt("/checkout/confirm");
    await judy.open("/checkout");
    await judy.isAt("/checkout/confirm");
    await judy.sees("courier");
    await Promise.all([judy, tab].map((one) => one.press("#order")));
    await judy.open("/orders");
    await judy.sees("€ 22.50, to Burrow 1");
    assert((await judy.page.locator("#orders li").count()) === 1, "there is more than one order");
    await tab.page.close();
  });
  await step("the orders of all are for clerks", async () => {
    await judy.open("/admin");
    await judy.sees("For clerks only");
  });
  await judy.open("/");
  await judy.press("#add-seal");
  await judy.isAt("/cart");
  await judy.leaves();
  return email;
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
