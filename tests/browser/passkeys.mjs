// Passkeys, with an authenticator that Chromium plays: made on the account page, used by the button, among what the browser
// fills in, and as second factor.
import { Person } from "./person.mjs";
import { assert } from "./report.mjs";

/** A phone or laptop that unlocks by face or finger. */
const DEVICE = {
  protocol: "ctap2",
  transport: "internal",
  hasResidentKey: true,
  hasUserVerification: true,
  isUserVerified: true,
  automaticPresenceSimulation: true,
};

/** The authenticator of a page. */
class Device {
  static async of(person, options = {}) {
    const device = new Device();
    device.debugger = await person.context.newCDPSession(person.page);
    await device.debugger.send("WebAuthn.enable", { enableUI: false });
    const added = await device.debugger.send("WebAuthn.addVirtualAuthenticator", { options: { ...DEVICE, ...options } });
    device.authenticatorId = added.authenticatorId;
    return device;
  }

  send(command, rest = {}) {
    return this.debugger.send(`WebAuthn.${command}`, { authenticatorId: this.authenticatorId, ...rest });
  }

  async credentials() {
    return (await this.send("getCredentials")).credentials;
  }
}

/** A page whose browser does not fill passkeys in by itself, so that the button is what signs in. */
const withoutAutofill = (person) =>
  person.page.addInitScript("if (window.PublicKeyCredential) PublicKeyCredential.isConditionalMediationAvailable = async () => false;");

export async function passkeyStory(step, browser, stage, options, [username, password]) {
  const ada = await Person.arrives(browser, stage, options);
  await withoutAutofill(ada);
  const device = await Device.of(ada);
  const signsOut = async () => {
    await ada.open("/auth/logout");
    await ada.press("#logout-confirm");
    await ada.sees("Signed out");
  };
  await step("a passkey is added on the account page, and recovery codes come with it", async () => {
    await ada.open("/sign-in/");
    await ada.isAt("/auth/login");
    await ada.looksAtPage("sign-in-passkey", { pictures: false });
    await ada.send({ username, password });
    await ada.isAt("/sign-in/");
    await ada.open("/auth/account");
    await ada.page.fill("#passkey-factor_name", "Ada's phone");
    await ada.press("#passkey-add");
    await ada.looksAtPage("account-passkey", { pictures: false });
    await ada.press("#passkey-submit");
    await ada.sees("Your recovery codes");
    await ada.press("#continue");
    await ada.sees("Ada's phone");
    const [made, ...others] = await device.credentials();
    assert(made?.isResidentCredential && made.rpId === "localhost" && others.length === 0, JSON.stringify(made));
  });
  await step("the button signs in, without a user name", async () => {
    await signsOut();
    await ada.open("/sign-in/");
    await ada.press("#passkey-submit");
    await ada.isAt("/sign-in/");
    await ada.sees("For members only.");
  });
  await step("the password alone leads to a second step, which the passkey takes", async () => {
    await signsOut();
    await ada.open("/sign-in/");
    await ada.send({ username, password });
    assert(ada.path().startsWith("/auth/step/"), ada.page.url());
    await ada.looksAtPage("step-passkey", { pictures: false });
    await ada.press("#passkey-submit");
    await ada.isAt("/sign-in/");
  });
  await step("whoever does not unlock the passkey can go on with the form", async () => {
    await signsOut();
    await device.send("setUserVerified", { isUserVerified: false });
    await ada.open("/sign-in/");
    await ada.press("#passkey-submit", false);
    await ada.page.locator("#passkey-problem").waitFor();
    await ada.send({ username, password: "not the password" });
    await ada.sees("Name or password is wrong.");
    await device.send("setUserVerified", { isUserVerified: true });
    await ada.press("#passkey-submit");
    await ada.isAt("/sign-in/");
    await signsOut();
  });
  await step("the browser offers the passkey for the user name by itself", async () => {
    const [made] = await device.credentials();
    const phone = await Person.arrives(browser, stage, options);
    // Chromium picks the passkey in place of its user as soon as the page asks.
    const own = await Device.of(phone);
    await own.send("addCredential", { credential: { ...made, signCount: made.signCount + 100 } });
    await phone.open("/sign-in/");
    await phone.isAt("/sign-in/");
    await phone.sees("For members only.");
    await phone.leaves();
  });
  await step("the passkey that was left behind counts less, and is refused", async () => {
    await ada.open("/sign-in/");
    await ada.press("#passkey-submit");
    await ada.sees("This passkey was not accepted.");
  });
  await step("a passkey that the server has forgotten is offered once, refused, and the form goes on", async () => {
    const [made] = await device.credentials();
    await stage.command(["user", "remove-factor", username, "--all"]);
    const phone = await Person.arrives(browser, stage, options);
    const own = await Device.of(phone);
    await own.send("addCredential", { credential: made });
    let posts = 0;
    phone.page.on("request", (request) => {
      posts += request.method() === "POST" ? 1 : 0;
    });
    await phone.open("/sign-in/");
    await phone.page.locator("#problems").waitFor();
    await phone.sees("This passkey was not accepted.");
    // Were it asked again by itself, it would answer at once.
    for (let turns = 0; turns < 20; turns += 1) {
      await phone.page.evaluate(() => PublicKeyCredential.isConditionalMediationAvailable());
    }
    await phone.sees("This passkey was not accepted.");
    assert(posts === 1, `${posts} forms were sent`);
    await phone.send({ username, password });
    await phone.isAt("/sign-in/");
    assert(posts === 2, `${posts} forms were sent`);
    await phone.leaves();
  });
  await ada.leaves();
  await step("without scripts there is no button, and the form is there", async () => {
    const plain = await Person.arrives(browser, stage, { ...options, scripts: false });
    await plain.open("/sign-in/");
    assert((await plain.page.getAttribute("#username", "autocomplete")) === "username webauthn", "no autofill");
    assert(!(await plain.page.locator("#passkey-submit").isVisible()), "a button that does nothing");
    await plain.page.locator("#login-submit").waitFor();
    await plain.leaves();
  });
}
