// Changes of one cart at the same moment, from the first one on.
import { Person } from "./person.mjs";
import { assert } from "./report.mjs";
import { adds, hasCart } from "./shop.mjs";

const BOTH = ["1 × Quill", "1 × Iron gall ink"];

export async function atOnceStory(step, browser, stage, options) {
  await step("two tabs of a new browser add something at once", async () => {
    const nick = await Person.arrives(browser, stage, options);
    const tab = await besides(nick);
    await Promise.all([nick.press("#add-quill"), tab.press("#add-ink")]);
    for (const one of [nick, tab]) await one.isAt("/cart");
    await hasAtLast(nick, BOTH);
  });
  await step("the answer to the first change is lost, and the next one goes to the same cart", async () => {
    const nick = await Person.arrives(browser, stage, options);
    const tab = await besides(nick);
    await nick.press("#add-quill");
    const { name } = (await nick.cookies()).get("chancery-session");
    await nick.context.clearCookies({ name });
    await tab.press("#add-ink");
    await tab.isAt("/cart");
    await hasAtLast(nick, BOTH);
  });
  await step("nothing is lost of eight changes at once", async () => {
    const nick = await Person.arrives(browser, stage, options);
    await adds(nick, "quill");
    const headers = { origin: stage.origin, "sec-fetch-site": "same-origin" };
    const add = () => nick.context.request.post(`${stage.origin}/cart`, { form: { add: "ink" }, headers, maxRedirects: 0 });
    const answers = await Promise.all(Array.from({ length: 8 }, add));
    const said = answers.map((answer) => answer.status());
    assert(said.every((status) => status === 303), `the shop answers ${said.join()}`);
    await hasAtLast(nick, ["1 × Quill", "8 × Iron gall ink"]);
  });
}

/** One more tab; both of them show the shop's first page. */
async function besides(person) {
  const tab = await person.secondTab();
  for (const one of [person, tab]) {
    await one.open("/");
    await one.isAt("/");
  }
  return tab;
}

async function hasAtLast(person, lines) {
  await hasCart(person, lines);
  await person.leaves();
}
