// oauth2-proxy#3078: nginx drops the Set-Cookie of `auth_request`, so nothing may depend on one.
import { request } from "node:https";

import { Person } from "./person.mjs";
import { assert } from "./report.mjs";

const CHECKS = 1_000;

export async function manyChecks(step, browser, stage, options, [username, password]) {
  const person = await Person.arrives(browser, stage, options);
  await step(`${CHECKS} requests of one session need no Set-Cookie`, async () => {
    await person.open("/sign-in/");
    await person.send({ username, password });
    await person.isAt("/sign-in/");
    const cookies = [...(await person.context.cookies(stage.origin))].map(({ name, value }) => `${name}=${value}`).join("; ");
    for (let n = 0; n < CHECKS; n += 1) {
      const answer = await ask(stage, cookies);
      assert(answer.text.includes("Hello "), `request ${n}: ${answer.status} ${answer.text}`);
      assert(!answer.headers["set-cookie"], `request ${n}: ${answer.headers["set-cookie"]}`);
    }
  });
  await person.leaves();
}

function ask({ listen, origin }, cookie) {
  const { host } = new URL(origin);
  // The certificate is made for this run; Chromium checks its key.
  const options = { port: listen, host: "127.0.0.1", servername: host, rejectUnauthorized: false, headers: { host, cookie } };
  return new Promise((found, failed) => {
    const asked = request({ ...options, timeout: 30_000 }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece) => (text += piece));
      answer.on("end", () => found({ status: answer.statusCode, headers: answer.headers, text }));
    });
    asked.on("error", failed).end();
  });
}
