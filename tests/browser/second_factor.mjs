// A second factor: set up on the account page, shown at the next sign-in, and asked for by a page that wants two.
import { createHmac } from "node:crypto";

import { Person } from "./person.mjs";
import { assert } from "./report.mjs";

const PASSWORD = "a phrase that nobody guesses";
const STEP = 30_000;

/** An authenticator app: TOTP (RFC 6238) with the secret as the page shows it. It shows no code twice. */
class Authenticator {
  last = 0;

  constructor(shown) {
    const bits = [...shown.replaceAll(" ", "")].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0"));
    this.key = Buffer.from(bits.join("").match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  }

  /** The code of a step that was not used yet: the server takes that of the next step too. */
  code() {
    this.last = Math.max(Math.floor(Date.now() / STEP), this.last + 1);
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(this.last));
    const tag = createHmac("sha1", this.key).update(counter).digest();
    const number = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff;
    return String(number % 1_000_000).padStart(6, "0");
  }
}

export async function secondFactorStory(step, browser, stage, options) {
  const [NAME, OTHER] = options.scripts ? ["heidi", "ivy"] : ["ivan", "irene"];
  await stage.command(["user", "create", NAME, "--password-stdin"], PASSWORD);
  const person = await Person.arrives(browser, stage, options);
  const signsIn = async (path) => {
    await person.open(path);
    await person.send({ username: NAME, password: PASSWORD });
  };
  let app;
  await step("an authenticator app is added on the account page", async () => {
    await signsIn("/auth/login?return_to=/");
    await person.open("/auth/account");
    await person.press("#totp-add");
    await person.looksAtPage("account-totp");
    app = await addsApp(person);
    await person.looksAtPage("recovery-codes");
    await person.press("#continue");
    await person.isAt("/auth/account");
    await person.looksAtPage("account-factors");
  });
  await step("the next sign-in asks for its code", async () => {
    await person.open("/auth/logout?return_to=/");
    await person.press("#logout-confirm");
    await signsIn("/auth/login?return_to=/");
    await person.looksAtPage("step-mfa");
    await person.send({ code: "000000" });
    await person.sees("The code is wrong, used up or expired.");
    await waits(app);
    await person.send({ code: app.code() });
    await person.isAt("/");
  });
  await step("a page that asks for two factors lets this sign-in pass", async () => {
    await person.open("/auth/login?return_to=/sign-in/&acr=2");
    await person.isAt("/sign-in/");
    await person.leaves();
  });
  await step("a page that asks for two factors has a user without one set it up", async () => {
    await stage.command(["user", "create", OTHER, "--password-stdin"], PASSWORD);
    const other = await Person.arrives(browser, stage, options);
    await other.open("/auth/login?return_to=/");
    await other.send({ username: OTHER, password: PASSWORD });
    await other.open("/auth/login?return_to=/sign-in/&acr=2");
    await other.looksAtPage("step-enrol");
    const secret = await other.page.locator("#secret").textContent();
    await other.send({ code: new Authenticator(secret).code() });
    await other.looksAtPage("step-recovery-codes");
    await other.press("#step-submit");
    await other.isAt("/sign-in/");
    await other.leaves();
  });
  await step("a level that nobody reaches is a page that says so", async () => {
    const other = await Person.arrives(browser, stage, options);
    await other.open("/auth/login?return_to=/&acr=3");
    await other.sees("acr");
    await other.leaves();
  });
}

/** Types the first code of the app that the page shows. */
async function addsApp(person) {
  const app = new Authenticator(await person.page.locator("#secret").textContent());
  await person.send({ "totp-code": app.code() });
  assert(await person.page.locator("#recovery-codes").count(), `no recovery codes at ${person.page.url()}`);
  return app;
}

/** Waits until the server takes the next code: it may be that of the step after this one at the latest. */
async function waits(app) {
  while (Math.floor(Date.now() / STEP) < app.last) await new Promise((done) => setTimeout(done, 200));
}
