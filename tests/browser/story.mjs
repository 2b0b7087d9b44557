// What people do: they visit, register, sign in, open a second tab, forget their password, and sign out everywhere.
import { Person } from "./person.mjs";
import { assert } from "./report.mjs";

const PASSWORD = "a phrase that nobody guesses";
const NEXT_PASSWORD = "another phrase that nobody guesses";

/** One story, from the first visit to the last sign-out. */
export async function wholeStory(step, browser, stage, options) {
  const email = `heidi-${options.scripts ? "on" : "off"}${options.language ? `-${options.language}` : ""}@example.com`;
  const read = new Set();
  const heidi = await Person.arrives(browser, stage, options);
  const phone = await Person.arrives(browser, stage, { ...options, pictures: undefined });

  await step("a visitor is recognised", () => isRecognised(heidi));
  await step("a page for members leads to the sign-in", () => isAskedToSignIn(heidi));
  await step("registers with the code from the mail, and is where the visit was going", async () => {
    await registers(heidi, email);
    await entersCode(heidi, (await stage.mail(email, "verify_email", read)).code);
    await heidi.isAt("/sign-in/");
    await heidi.sees("For members only.");
  });
  await step("the cookies are as promised", () => hasCookies(heidi));
  await step("signs out, after being asked", () => signsOut(heidi));
  await step("a wrong password is refused, and what was typed is kept", () => mistypes(heidi, email));
  await step("two tabs, each with its own form, end at their own paths", () => signsInInTwoTabs(heidi, email));
  await step("a second tab finds the session", () => opensSecondTab(heidi));
  await step("signs in on a phone too, which is a second session", async () => {
    await signsIn(phone, email, PASSWORD);
    await phone.isAt("/sign-in/");
  });
  await step("the account page shows the address and the sessions", () => looksAtAccount(heidi, email));
  await step("a forgotten password is replaced by the link in the mail", () => forgets(stage, browser, email, read, options));
  await step("the new password ended all sessions", async () => {
    await isNobody(heidi);
    await isNobody(phone);
  });
  await step("signs in with the new password, in both browsers", async () => {
    for (const person of [heidi, phone]) {
      await signsIn(person, email, NEXT_PASSWORD);
      await person.isAt("/sign-in/");
    }
  });
  await step("signs out everywhere", () => signsOutEverywhere(heidi, phone));
  await step("a cookie of an ended session is worth nothing", () => replaysCookie(heidi, phone));
  await heidi.leaves();
  await phone.leaves();
}

/** The short one, for each application that shows who is signed in. */
export async function shortStory(step, browser, stage, options, [username, password]) {
  const person = await Person.arrives(browser, stage, options);
  await step("nobody is signed in at first", () => isNobody(person));
  await step("signs in, and the application knows who it is", async () => {
    await signsIn(person, username, password);
    await person.isAt("/sign-in/");
    await person.open("/");
    await person.sees("Hello ");
  });
  await step("signs out", () => signsOut(person));
  await person.leaves();
}

/** The same for an application that is one page, with links to the pages of Chancery. */
export async function frontPageStory(step, browser, stage, options, [username, password]) {
  const person = await Person.arrives(browser, stage, options);
  await step("nobody is signed in at first", () => isNobody(person));
  await step("signs in, and the page knows who it is", async () => {
    await person.press('a[href="/auth/login"]');
    await person.isAt("/auth/login");
    await person.send({ username, password });
    await person.isAt("/");
    await person.page.getByText("Hello ").waitFor();
  });
  await step("signs out", async () => {
    await person.press('a[href="/auth/logout"]');
    await person.press("#logout-confirm");
    await person.sees("Signed out");
    await isNobody(person);
  });
  await person.leaves();
}

async function isRecognised(person) {
  await person.open("/visits/");
  await person.isAt("/visits/");
  await person.sees("This is your 1. visit.");
  await person.open("/visits/");
  await person.sees("This is your 2. visit.");
}

async function isAskedToSignIn(person) {
  await isNobody(person);
  await person.press('a[href="/sign-in/"]');
  await person.isAt("/auth/login");
  await person.looksAtPage("sign-in");
}

async function registers(person, email) {
  await person.press('a[href*="/auth/register"]');
  await person.isAt("/auth/register");
  await person.looksAtPage("register");
  await person.send({ email, password: PASSWORD });
  await person.page.waitForSelector("#code");
  await person.looksAtPage("register-code");
}

async function entersCode(person, code) {
  await person.send({ code });
}

async function hasCookies(person) {
  const cookies = await person.cookies();
  const names = [...cookies.keys()].sort().join(" ");
  assert(["visitor", "session"].every((name) => cookies.has(`chancery-${name}`)), `cookies: ${names}`);
  assert([...cookies.keys()].every((name) => /^chancery-(visitor|session|devices|lang)$/.test(name)), `cookies: ${names}`);
  for (const [name, cookie] of cookies) {
    const { httpOnly, path, sameSite, secure, domain } = cookie;
    assert(httpOnly && path === "/" && secure === person.stage.secure && !domain.startsWith("."), JSON.stringify(cookie));
    assert(sameSite === (name === "chancery-devices" ? "Strict" : "Lax"), JSON.stringify(cookie));
  }
  const seen = await person.page.evaluate("document.cookie");
  assert(seen === "", `scripts see ${seen}`);
}

async function isNobody(person) {
  await person.open("/");
  await person.page.getByText("Nobody is signed in.").waitFor();
}

async function signsOut(person) {
  await person.open("/");
  await person.press('a[href="/sign-out/"]');
  await person.isAt("/auth/logout");
  await person.looksAtPage("sign-out");
  await person.press("#logout-confirm");
  await person.sees("Signed out");
  await person.looksAtPage("signed-out");
  await isNobody(person);
}

async function signsIn(person, username, password) {
  await person.open("/sign-in/");
  await person.isAt("/auth/login");
  await person.send({ username, password });
}

async function mistypes(person, email) {
  await person.open("/sign-in/");
  await person.send({ username: email, password: "not the phrase that it is" });
  await person.isAt("/auth/login");
  assert((await person.page.inputValue("#username")) === email, "the user name is gone");
  assert((await person.page.inputValue("#password")) === "", "the password is still there");
  await person.looksAtPage("sign-in-refused");
}

async function signsInInTwoTabs(person, email) {
  const tab = await person.secondTab();
  await person.open("/auth/login?return_to=/visits/?first");
  await tab.open("/auth/login?return_to=/visits/?second");
  await tab.send({ username: email, password: PASSWORD });
  await tab.isAt("/visits/");
  assert(tab.page.url().endsWith("?second"), tab.page.url());
  await person.send({ username: email, password: PASSWORD });
  await person.isAt("/visits/");
  assert(person.page.url().endsWith("?first"), person.page.url());
  await tab.page.close();
}

async function opensSecondTab(person) {
  const tab = await person.secondTab();
  await tab.open("/auth/login?return_to=/sign-in/");
  await tab.isAt("/sign-in/");
  await tab.page.close();
}

async function looksAtAccount(person, email) {
  await person.open("/auth/account");
  await person.isAt("/auth/account");
  await person.sees(email);
  await person.looksAtPage("account");
}

/** In a browser that was never here before, as on a borrowed computer. */
async function forgets(stage, browser, email, read, options) {
  const person = await Person.arrives(browser, stage, options);
  await person.open("/auth/login?return_to=/sign-in/");
  await person.press('a[href*="/auth/forgot"]');
  await person.isAt("/auth/forgot");
  await person.looksAtPage("forgotten");
  await person.send({ username: email });
  await person.page.waitForSelector("#code");
  await person.looksAtPage("forgotten-code");
  const { links } = await stage.mail(email, "password_reset", read);
  const link = links.find((link) => link.startsWith(`${stage.origin}/auth/reset`));
  assert(link, `the mail links to ${links}`);
  await person.page.goto(link);
  await person.looksAtPage("reset");
  await person.send({ new_password: NEXT_PASSWORD });
  assert(!person.page.url().includes("token="), `the token is in the address: ${person.page.url()}`);
  await person.page.goto(link);
  if (await person.page.locator("#new_password").isVisible()) await person.send({ new_password: `${NEXT_PASSWORD}, once more` });
  await person.looksAtPage("reset-spent");
  await person.leaves();
}

async function signsOutEverywhere(person, other) {
  await person.open("/auth/account");
  await person.press("#end-all");
  await person.sees("Signed out");
  await person.looksAtPage("signed-out-everywhere");
  await isNobody(person);
  await isNobody(other);
}

async function replaysCookie(person, other) {
  // Whatever cookies the other browser still has are from an ended session.
  const left = (await other.cookies()).get("chancery-session");
  if (left) await person.context.addCookies([left]);
  await isNobody(person);
  await person.open("/auth/login?return_to=/");
  await person.isAt("/auth/login");
}

/** The choice of a language: it leads back to the same page, stays, and goes with the account to another browser. */
export async function languageStory(step, browser, stage, options, [username, password]) {
  const person = await Person.arrives(browser, stage, options);
  const title = async () => person.page.locator("h1").innerText();
  await step("a language is chosen at the foot of the page, which stays the same", async () => {
    await person.open("/auth/login?return_to=/sign-in/");
    const url = person.page.url();
    await person.press("#language-de");
    assert(person.page.url() === url && (await title()) === "Anmelden", `${person.page.url()}: ${await title()}`);
    await person.open("/auth/nothing-here");
    assert((await title()) === "Diese Seite gibt es nicht", await title());
  });
  await step("signed in, it becomes that of the account", async () => {
    await signsIn(person, username, password);
    await person.isAt("/sign-in/");
    await person.open("/auth/account");
    await person.press("#language-ar");
    assert((await title()) === "حسابك", await title());
    const elsewhere = await Person.arrives(browser, stage, options);
    await signsIn(elsewhere, username, password);
    await elsewhere.open("/auth/account");
    await elsewhere.isInItsLanguage("account").then(
      () => assert(false, "the account is in English elsewhere"),
      (error) => assert(String(error).includes("ar rtl"), String(error)),
    );
    await elsewhere.press("#language-en");
    await elsewhere.leaves();
  });
  await person.leaves();
}
