// The pages of the issuer itself: whoever opens the printed address sees something.
import { Person } from "./person.mjs";
import { assert } from "./report.mjs";

export async function ownPages(step, browser, stage, options) {
  const issuer = stage.server.issuer;
  const port = new URL(issuer).port;
  const plainName = (name) => name.replace(`-${port}`, "");
  const person = await Person.arrives(browser, { ...stage, origin: issuer, plainName }, options);
  await step("the printed address shows a page", async () => {
    await person.open("/");
    await person.sees("Sign in");
    await person.looksAtPage("home");
  });
  await step("another loopback name leads to the declared one", async () => {
    await person.page.goto(`http://localhost:${port}/`);
    assert(new URL(person.page.url()).origin === issuer, person.page.url());
  });
  await step("the demo says what to try", async () => {
    await person.open("/dev");
    await person.looksAtPage("dev");
  });
  await step("the demo lists its calls", async () => {
    await person.press('a[href="/dev/api"]');
    await person.isAt("/dev/api");
    await person.page.evaluate("document.querySelectorAll('#AuthService_Login, #type-TokenPair, #type-ErrorMetadata').forEach((one) => (one.open = true))");
    await person.sees("Checks a user's password and opens a session");
    await person.looksAtPage("dev-api", { pictures: false });
  });
  await step("a host that nobody declared is answered with what is missing", async () => {
    await person.page.goto(`http://elsewhere.localhost:${port}/auth/login`);
    await person.sees("No site is declared at http://elsewhere.localhost");
  });
  await person.leaves();
}
