// A second factor: set up on the account page, shown at the next sign-in, and asked for by a page that wants two.
import { Authenticator, addsApp } from "./authenticator.mjs";
import { Person } from "./person.mjs";

const PASSWORD = "a phrase that nobody guesses";

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
    const looksAt = (page) => () => person.looksAtPage(page);
    ({ app } = await addsApp(person, { before: looksAt("account-totp"), after: looksAt("recovery-codes") }));
    await person.looksAtPage("account-factors");
  });
  await step("the next sign-in asks for its code", async () => {
    await person.open("/auth/logout?return_to=/");
    await person.press("#logout-confirm");
    await signsIn("/auth/login?return_to=/");
    await person.looksAtPage("step-mfa");
    await person.send({ code: "000000" });
    await person.sees("The code is wrong or was used before.");
    await person.send({ code: await app.code() });
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
    await other.send({ code: await new Authenticator(secret).code() });
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
