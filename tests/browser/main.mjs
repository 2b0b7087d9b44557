// Walks through the pages with Chromium. `scripts/browser` installs what this needs, and runs it.
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { foreignPages, foreignPagesStory } from "./calls.mjs";
import { framework } from "./frameworks.mjs";
import { ownPages } from "./own_pages.mjs";
import { passkeyStory } from "./passkeys.mjs";
import { jsonStory } from "./page_json.mjs";
import { rarePages } from "./rare.mjs";
import { Report } from "./report.mjs";
import { secondFactorStory } from "./second_factor.mjs";
import { openShop, shopStory } from "./shop.mjs";
import { atOnceStory } from "./shop_at_once.mjs";
import { devicesStory } from "./shop_devices.mjs";
import { behind, loopback } from "./stages.mjs";
import { frontPageStory, languageStory, shortStory, wholeStory } from "./story.mjs";
import { manyChecks } from "./many_checks.mjs";
import { apiStory, callingPage, callingStory, pageStory, serverStory } from "./web.mjs";

const { values: flags } = parseArgs({
  options: {
    at: { type: "string" },
    chromium: { type: "string" },
    programs: { type: "string" },
    short: { type: "boolean", default: false },
    frameworks: { type: "boolean", default: false },
    web: { type: "boolean", default: false },
    screenshots: { type: "boolean", default: false },
    only: { type: "string", default: "" },
  },
});
/** The demo's user, whom everybody knows. */
const ADA = ["ada", "correct horse battery staple"];
const LIMIT = (flags.short ? 8 : 20) * 60_000;
const began = Date.now();
const { chromium } = createRequire(join(flags.at, "node/"))("playwright-core");
const report = new Report();
const work = mkdtempSync(join(tmpdir(), "chancery-browser-"));
const groups = [];
const tools = { ...flags, work, opened: (processes) => groups.push(processes) };
const pictures = flags.screenshots ? fileURLToPath(new URL("../../docs/screenshots", import.meta.url)) : undefined;

function giveUp(why) {
  console.log(`FAILED    ${why}`);
  for (const processes of groups) processes.killAll();
  process.exit(1);
}
setTimeout(() => giveUp(`not done within ${LIMIT / 60_000} minutes`), LIMIT).unref();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => giveUp(signal));

/** Sets a stage, opens a browser, runs what is to be shown there, and ends everything. */
async function on(name, set, show) {
  if (!name.includes(flags.only)) return;
  const step = report.story(name);
  const stage = await step("starts", set);
  if (stage) {
    const options = { executablePath: flags.chromium, args: stage.launchArgs };
    const browser = await step("Chromium starts", () => chromium.launch(options));
    if (browser) await show(browser, stage);
    await browser?.close();
  }
  await Promise.all(groups.splice(0).map((processes) => processes.endAll()));
}

const both = async (name, browser, stage) => {
  for (const scripts of [true, false]) {
    const options = { scripts, at: flags.at, pictures: scripts && stage.secure ? pictures : undefined };
    await wholeStory(report.story(`${name}, scripts ${scripts ? "on" : "off"}`), browser, stage, options);
  }
};

/** The pages in German, and in a language that is written from right to left. */
async function languages() {
  const texts = fileURLToPath(new URL("texts", import.meta.url));
  await on("languages", () => loopback(tools, "flask", ["--page-texts", texts]), async (browser, stage) => {
    const inLanguage = (language, signedOut) => {
      const words = { "Signed out": signedOut };
      return { scripts: true, at: flags.at, language, words };
    };
    const german = inLanguage("de", "Abgemeldet");
    await wholeStory(report.story("in German"), browser, stage, { ...german, pictures });
    await rarePages(report.story("in German"), browser, stage, german, ADA);
    const arabic = inLanguage("ar", "تم تسجيل الخروج");
    await wholeStory(report.story("from right to left"), browser, stage, { ...arabic, pictures });
    for (const scripts of [true, false]) {
      const options = { scripts, at: flags.at };
      await languageStory(report.story(`languages, scripts ${scripts ? "on" : "off"}`), browser, stage, options, ADA);
    }
  });
}

async function frameworks() {
  for (const name of ["vite", "next"]) {
    await on(name, () => framework(name, tools), (browser, stage) =>
      frontPageStory(report.story(name), browser, stage, { scripts: true, at: flags.at }, ADA));
  }
}

async function web() {
  const options = { scripts: true, at: flags.at };
  for (const name of ["flask", "fastapi", "express", "next", "axum"]) {
    await on(name, () => loopback(tools, name), async (browser, stage) => {
      await serverStory(report.story(name), browser, stage, options, ADA);
      if (name === "fastapi") await apiStory(report.story(name), stage, "/api/orders", ADA);
    });
  }
  await on("vite-spa", () => loopback(tools, "vite-spa"), (browser, stage) =>
    pageStory(report.story("vite-spa"), browser, stage, options, ADA));
  await on("a page that calls", () => callingPage(tools), (browser, stage) =>
    callingStory(report.story("a page that calls"), browser, stage, options, ADA));
}

async function everything() {
  await on("--app, Flask", () => loopback(tools, "flask"), async (browser, stage) => {
    await both("--app, Flask", browser, stage);
    await rarePages(report.story("--app, Flask"), browser, stage, { scripts: true, at: flags.at }, ADA);
    await jsonStory(report.story("pages in JSON"), browser, stage, { scripts: true, at: flags.at }, ADA);
    for (const scripts of [true, false]) {
      const name = `second factors, scripts ${scripts ? "on" : "off"}`;
      await secondFactorStory(report.story(name), browser, stage, { scripts, at: flags.at, pictures });
    }
    await ownPages(report.story("the issuer's own pages"), browser, stage, { scripts: true, at: flags.at, pictures });
  });
  await on("passkeys", () => loopback(tools, "flask"), (browser, stage) =>
    passkeyStory(report.story("passkeys"), browser, stage, { scripts: true, at: flags.at }, ADA));
  await on("pages that call", () => foreignPages(tools), (browser, stage) =>
    foreignPagesStory(report.story("pages that call"), browser, stage, ADA));
  await on("the shop", () => openShop(tools), async (browser, stage) => {
    for (const scripts of flags.short ? [true] : [true, false]) {
      const [story, options] = [report.story(`the shop, scripts ${scripts ? "on" : "off"}`), { scripts, at: flags.at }];
      await atOnceStory(story, browser, stage, options);
      const customer = await shopStory(story, browser, stage, options);
      await devicesStory(story, browser, stage, options, customer, ADA);
    }
  });
  if (flags.short) return;
  await languages();
  for (const application of ["express", "axum"]) {
    const name = `--app, ${application}`;
    await on(name, () => loopback(tools, application), (browser, stage) =>
      shortStory(report.story(name), browser, stage, { scripts: true, at: flags.at }, ADA));
  }
  await on("nginx", () => behind("nginx", tools, "flask"), async (browser, stage) => {
    await both("nginx", browser, stage);
    await rarePages(report.story("nginx"), browser, stage, { scripts: true, at: flags.at, pictures }, ADA);
    await manyChecks(report.story("nginx"), browser, stage, { scripts: true, at: flags.at }, ADA);
  });
  await on("Caddy", () => behind("caddy", tools, "flask"), (browser, stage) => both("Caddy", browser, stage));
}

await (flags.frameworks ? frameworks() : flags.web ? web() : everything());
rmSync(work, { recursive: true, force: true });
report.end(began);
process.exit(report.failed === 0 && report.passed > 0 ? 0 : 1);
