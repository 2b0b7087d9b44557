// An authenticator app: TOTP (RFC 6238) with the secret as the pages show it.
import { createHmac } from "node:crypto";

import { until } from "./processes.mjs";

const STEP = 30_000;
/** A code that is shown for less than this may come too late. */
const MARGIN = 3_000;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** It shows no code twice, as the server takes none twice. */
export class Authenticator {
  last = 0;

  constructor(shown) {
    const bits = [...shown.replaceAll(" ", "")].map((letter) => LETTERS.indexOf(letter).toString(2).padStart(5, "0"));
    this.key = Buffer.from(bits.join("").match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  }

  /** The next code that was not used yet. The server takes those of the step before and after this one too. */
  async code() {
    this.last = Math.max(Math.floor((Date.now() + MARGIN) / STEP) - 1, this.last + 1);
    await until(() => Math.floor(Date.now() / STEP) + 1 >= this.last);
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(this.last));
    const tag = createHmac("sha1", this.key).update(counter).digest();
    const number = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff;
    return String(number % 1_000_000).padStart(6, "0");
  }
}

/** Adds an app on the account page, and returns it and the recovery codes that are shown once. */
export async function addsApp(person, { before = () => {}, after = () => {} } = {}) {
  await person.open("/auth/account");
  await person.press("#totp-add");
  await before();
  const app = new Authenticator(await person.page.locator("#secret").textContent());
  await person.send({ "totp-code": await app.code() });
  const shown = person.page.locator("#recovery-codes");
  if (!(await shown.count())) throw new Error(`no recovery codes at ${person.page.url()}: ${(await person.text()).slice(0, 600)}`);
  const codes = (await shown.innerText()).trim().split("\n");
  await after();
  await person.press("#continue");
  await person.isAt("/auth/account");
  return { app, codes };
}
