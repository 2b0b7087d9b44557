// Pages that most people never see.
import { Person } from "./person.mjs";
import { assert } from "./report.mjs";

const PASSWORD = "a phrase that nobody guesses";
const CHOSEN = "a phrase chosen where the link was opened";

export async function rarePages(step, browser, stage, options, [username, password]) {
  const arrives = () => Person.arrives(browser, stage, options);
  await step("the link of a registration shows a button where it was asked for", async () => {
    const [person, link] = await asksToRegister(await arrives(), "ivan@example.com");
    await person.page.goto(link);
    await person.looksAtPage("verify");
    await person.press("#verify-submit");
    await isSignedIn(person);
    await person.leaves();
  });
  await step("elsewhere it asks for a new password, and the first one is worth nothing", async () => {
    const [stranger, link] = await asksToRegister(await arrives(), "judy@example.com");
    const owner = await arrives();
    await owner.page.goto(link);
    await owner.looksAtPage("verify-elsewhere");
    await owner.send({ new_password: CHOSEN });
    await signsIn(stranger, "judy@example.com", PASSWORD);
    await stranger.isAt("/auth/login");
    await signsIn(stranger, "judy@example.com", CHOSEN);
    await isSignedIn(stranger);
    for (const person of [stranger, owner]) await person.leaves();
  });
  await step("another user is asked whether to go on as the one who is signed in", async () => {
    const person = await arrives();
    const tab = await person.secondTab();
    for (const page of [person, tab]) await page.open("/auth/login?return_to=/sign-in/");
    await tab.send({ username, password });
    await tab.isAt("/sign-in/");
    await person.send({ username: "ivan@example.com", password: PASSWORD });
    await person.looksAtPage("switch-user");
    await person.press("#continue");
    await isSignedIn(person);
    await person.leaves();
  });
  await step("a client that requires an address asks for it, and confirms it", () => confirmsAddress(arrives, stage));
  await step("a browser without cookies is told so", async () => {
    const person = await arrives();
    for (let n = 0; n < 2; n += 1) {
      if (n === 0) await person.open("/auth/login?return_to=/");
      await person.context.clearCookies();
      await person.send({ username, password });
    }
    await person.looksAtPage("cookies-blocked");
    await person.leaves();
  });
  await step("an unknown page says so, with the request's id", async () => {
    const person = await arrives();
    await person.open("/auth/nothing-here");
    await person.looksAtPage("error");
    await person.leaves();
  });
}

async function asksToRegister(person, email) {
  await person.open("/auth/register?return_to=/sign-in/");
  await person.send({ email, password: PASSWORD });
  await person.page.waitForSelector("#code");
  const { links } = await person.stage.mail(email, "verify_email");
  const link = links.find((link) => link.startsWith(`${person.stage.origin}/auth/verify`));
  assert(link, `the mail links to ${links}`);
  return [person, link];
}

async function signsIn(person, username, password) {
  await person.open("/auth/login?return_to=/sign-in/");
  await person.send({ username, password });
}

async function isSignedIn(person) {
  await person.open("/sign-in/");
  await person.isAt("/sign-in/");
  await person.sees("For members only.");
}

async function confirmsAddress(arrives, stage) {
  await stage.command(["user", "create", "bob", "--password-stdin"], PASSWORD);
  await stage.command(["client", "update", stage.client, "--require-email"]);
  const person = await arrives();
  await signsIn(person, "bob", PASSWORD);
  await person.page.waitForSelector("#email");
  assert(person.path().startsWith("/auth/step/"), person.page.url());
  await person.looksAtPage("step-address");
  await person.send({ email: "bob@example.com" });
  await person.page.waitForSelector("#code");
  await person.looksAtPage("step-code");
  await person.send({ code: (await stage.mail("bob@example.com", "verify_email")).code });
  await isSignedIn(person);
  await stage.command(["client", "update", stage.client, "--require-email=false"]);
  await person.leaves();
}
