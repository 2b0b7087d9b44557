// A person at a browser: a context of its own, with its own cookies.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { assert } from "./report.mjs";

const SIZES = { "": { width: 1280, height: 860 }, "-phone": { width: 390, height: 844 } };
const SCHEMES = { "": "light", "-dark": "dark" };
/** The pages that the documentation shows in other languages. */
const SHOWN = { de: "sign-in", ar: "account" };

export class Person {
  /** What the browser complained of: errors of scripts, and what a content security policy blocked. */
  complaints = [];

  constructor(context, page, stage, options) {
    Object.assign(this, { context, page, stage, ...options });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("console", (line) => {
      // A refused form is an answer with 4xx, which the browser logs too.
      if (line.type() === "error" && !line.text().includes("Failed to load resource")) this.complaints.push(line.text());
    });
  }

  /** In a browser that prefers the language, if one is given; `words` has what its pages say for what those in English say. */
  static async arrives(browser, stage, { scripts, at, pictures, language, words }) {
    // Colours must not be looked at on their way from light to dark.
    const options = { javaScriptEnabled: scripts, viewport: SIZES[""], reducedMotion: "reduce", locale: language };
    const context = await browser.newContext(options);
    context.setDefaultTimeout(30_000);
    const axe = readFileSync(createRequire(join(at, "node/")).resolve("axe-core/axe.min.js"), "utf8");
    return new Person(context, await context.newPage(), stage, { scripts, axe, pictures, language, words });
  }

  /** The same person in one more tab. */
  async secondTab() {
    const { scripts, axe, pictures, language, words } = this;
    return new Person(this.context, await this.context.newPage(), this.stage, { scripts, axe, pictures, language, words });
  }

  open(path) {
    return this.page.goto(new URL(path, this.stage.origin).href);
  }

  /** Fills the named fields and sends the form that they are in. */
  async send(fields, { wait = true } = {}) {
    for (const [id, text] of Object.entries(fields)) {
      const field = this.page.locator(`#${id}`);
      if (typeof text === "boolean") await field.setChecked(text);
      else await field.fill(text);
    }
    const form = this.page.locator(`form:has(#${Object.keys(fields)[0]})`);
    await this.press(form.locator("button:not([type=button])").first(), wait);
  }

  /** Presses a button or follows a link, and waits for the page that it leads to. */
  async press(what, wait = true) {
    const target = typeof what === "string" ? this.page.locator(what).first() : what;
    if (!wait) return target.click();
    const arrived = this.page.waitForEvent("framenavigated", (frame) => frame === this.page.mainFrame());
    await target.click();
    await arrived;
    await this.page.waitForLoadState("load");
  }

  path() {
    return new URL(this.page.url()).pathname;
  }

  async text() {
    return this.page.locator("body").innerText();
  }

  async sees(english) {
    const words = this.words?.[english] ?? english;
    await this.page.waitForLoadState("load");
    const text = await this.text();
    assert(text.includes(words), `${JSON.stringify(words)} is not on ${this.page.url()}, which says: ${text.slice(0, 600)}`);
  }

  async isAt(path) {
    await this.page.waitForURL((url) => url.pathname === path).catch(async () => {
      throw new Error(`at ${this.page.url()} and not at ${path}; the page says: ${(await this.text()).slice(0, 600)}`);
    });
    assert(new URL(this.page.url()).origin === this.stage.origin, `at another origin: ${this.page.url()}`);
  }

  /** Axe finds nothing on this page, in light and in dark; and a picture of it in each form, where pictures are taken. */
  async looksAtPage(name, { pictures = this.pictures } = {}) {
    if (!this.scripts) return;
    await this.isInItsLanguage(name);
    for (const scheme of this.schemes()) {
      await this.page.emulateMedia({ colorScheme: scheme });
      for (const size of Object.values(SIZES)) {
        await this.page.setViewportSize(size);
        await this.axeFindsNothing(`${name}, ${scheme}, ${size.width} wide`);
      }
    }
    if (pictures && !this.language) await this.takePictures(name);
    if (pictures && SHOWN[this.language] === name) await this.takePicture(`${name}-${this.language}`);
    await this.page.emulateMedia({ colorScheme: "light" });
    await this.page.setViewportSize(SIZES[""]);
    assert(this.complaints.length === 0, `the browser complains: ${this.complaints.join("; ")}`);
  }

  /** Colours are the same in every language. */
  schemes() {
    return this.language ? [SCHEMES[""]] : Object.values(SCHEMES);
  }

  async isInItsLanguage(name) {
    const expected = this.language ?? "en";
    const said = await this.page.locator("html").evaluate((html) => `${html.lang} ${getComputedStyle(html).direction}`);
    assert(said === `${expected} ${expected === "ar" ? "rtl" : "ltr"}`, `${name} is in ${said}, and not in ${expected}`);
  }

  async axeFindsNothing(where) {
    // By the debugger's protocol, because the pages' policy forbids scripts of others, as it should.
    this.debugger ??= await this.context.newCDPSession(this.page);
    const evaluate = async (expression) => {
      const options = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await this.debugger.send("Runtime.evaluate", options);
      assert(!exceptionDetails, `axe, ${where}: ${JSON.stringify(exceptionDetails)}`);
      return result.value;
    };
    if (!(await evaluate("'axe' in window"))) await evaluate(`${this.axe};0`);
    const { violations } = await evaluate("axe.run(document, { resultTypes: ['violations'] })");
    const found = violations.map(({ id, help, nodes }) => `${id} (${help}) at ${nodes.map((n) => n.target).join(", ")}`);
    assert(found.length === 0, `axe, ${where}: ${found.join("; ")}`);
    const wide = await evaluate("document.documentElement.scrollWidth - window.innerWidth");
    assert(wide <= 0, `${where}: the page is ${wide} px wider than the window`);
  }

  async takePictures(name) {
    mkdirSync(this.pictures, { recursive: true });
    for (const [dark, colorScheme] of Object.entries(SCHEMES)) {
      await this.page.emulateMedia({ colorScheme });
      for (const [phone, size] of Object.entries(SIZES)) {
        await this.page.setViewportSize(size);
        await this.page.screenshot({ path: join(this.pictures, `${name}${phone}${dark}.png`), fullPage: true });
      }
    }
  }

  async takePicture(name) {
    mkdirSync(this.pictures, { recursive: true });
    await this.page.setViewportSize(SIZES[""]);
    await this.page.screenshot({ path: join(this.pictures, `${name}.png`), fullPage: true });
  }

  /** The cookies of the site, by their names without prefix and port. */
  async cookies() {
    const all = await this.context.cookies(this.stage.origin);
    return new Map(all.map((cookie) => [this.stage.plainName(cookie.name), cookie]));
  }

  leaves() {
    return this.context.close();
  }
}
