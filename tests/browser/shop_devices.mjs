// A customer of the shop of examples/shop on further devices, with two factors; carts of guests that join an account's.
import { addsApp } from "./authenticator.mjs";
import { Person } from "./person.mjs";
import { assert } from "./report.mjs";
import { PASSWORD, adds, hasCart, printed, saysWho } from "./shop.mjs";

/** What a guest puts into the cart, and what is in the account's after the sign-in: it has one seal in the beginning. */
const JOINED = {
  keep_account: [["wax"], ["1 × Brass seal"]],
  return_both: [["ink", "ink"], ["2 × Iron gall ink", "1 × Brass seal"]],
  keep_guest: [["quill"], ["1 × Quill"]],
};

export async function devicesStory(step, browser, stage, options, { person: judy, email }, ada) {
  const phone = await Person.arrives(browser, stage, options);
  let app, codes;
  const byApp = async (person) => person.send({ code: await app.code() });
  const byCode = (code) => async (person) => {
    await person.page.locator("#use-recovery-code").click();
    await person.send({ recovery_code: code });
  };
  await step("adds an authenticator app on the account page", async () => {
    ({ app, codes } = await addsApp(judy));
    assert(new Set(codes).size >= 8, `recovery codes: ${codes.length}`);
  });
  await step("signs out, and has no cart", async () => {
    await signsOut(judy);
    await judy.open("/cart");
    await judy.sees("There is nothing in it.");
  });
  await step("signs in with two factors, and has it again", async () => {
    await signsIn(judy, email, byApp);
    await hasCart(judy, ["1 × Brass seal"], "€ 39.00");
  });
  await step("signs in on a phone, which has the same cart", async () => {
    await signsIn(phone, email, byApp);
    await hasCart(phone, ["1 × Brass seal"], "€ 39.00");
  });
  for (const [policy, [guests, joined]] of Object.entries(JOINED)) {
    await step(`a guest's cart joins the account's: ${policy}`, async () => {
      await keeps(stage, policy);
      const tablet = await Person.arrives(browser, stage, options);
      await adds(tablet, ...guests);
      await signsIn(tablet, email, byCode(codes.pop()));
      if (policy === "return_both") await addsOwn(tablet, ["1 × Brass seal"], ["2 × Iron gall ink"]);
      await hasCart(tablet, joined);
      assert((await tablet.page.locator("#guests").count()) === 0, "the guest's cart is still there");
      await hasCart(phone, joined);
      await tablet.leaves();
      // For the next one.
      if (policy === "return_both") await phone.press("#remove-ink");
    });
  }
  await step("a recovery code signs in once, and not twice", async () => {
    const [code] = codes;
    for (const other of [true, false]) {
      const tablet = await Person.arrives(browser, stage, options);
      if (other) await signsIn(tablet, email, byCode(code));
      else await isRefused(tablet, email, byCode(code));
      await tablet.leaves();
    }
  });
  await step("all orders are shown to clerks, and to nobody else", async () => {
    await judy.open("/admin");
    await judy.sees("For clerks only");
    const clerk = await Person.arrives(browser, stage, options);
    await clerk.open("/admin");
    await clerk.isAt("/auth/login");
    const [username, password] = ada;
    await clerk.send({ username, password });
    await clerk.isAt("/admin");
    await clerk.sees("€ 28.70, to Burrow 1");
    await saysWho(clerk, username);
    await clerk.leaves();
  });
  await judy.leaves();
  await phone.leaves();
}

/** What becomes of a guest's cart. The page of the shop prints one of the three. */
function keeps(stage, policy) {
  if (policy === "return_both") return printed(stage, "client update demo-app --guest-data cart=return_both");
  return stage.command(["client", "update", "demo-app", "--guest-data", `cart=${policy}`]);
}

async function asksForSecond(person, email) {
  await person.open("/cart");
  await person.press("#sign-in");
  await person.isAt("/auth/login");
  await person.send({ username: email, password: PASSWORD });
  assert(person.path().startsWith("/auth/step/"), `no second step at ${person.page.url()}: ${(await person.text()).slice(0, 600)}`);
}

async function signsIn(person, email, second) {
  await asksForSecond(person, email);
  await second(person);
  await person.isAt("/cart");
}

async function isRefused(person, email, second) {
  await asksForSecond(person, email);
  await second(person);
  await person.sees("The code is wrong, used up or expired.");
  await person.open("/orders");
  await person.isAt("/auth/login");
}

async function signsOut(person) {
  await person.open("/cart");
  await person.press("#sign-out");
  await person.press("#logout-confirm");
  await person.open("/");
  await saysWho(person, "Guest");
}

/** The account's cart is as it was, and the guest's stands beside it until it is added: once, also by two clicks. */
async function addsOwn(person, accounts, guests) {
  await hasCart(person, accounts);
  const beside = await person.page.locator("#guests li").allInnerTexts();
  assert(beside.map((line) => line.split(",")[0]).join() === guests.join(), `beside the cart: ${beside.join()}`);
  const tab = await person.secondTab();
  await tab.open("/cart");
  await Promise.all([person, tab].map((one) => one.press("#guests-add")));
  await tab.page.close();
  await person.isAt("/cart");
}
