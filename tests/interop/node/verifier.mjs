// Verifies access tokens with jose: verifier.mjs JWKS_URL ISSUER AUDIENCE. Answers each JSON line with a JSON line.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { jwtVerify } from "jose";
import { StatusUnknown, issuerKeys, statusLists } from "./status_list.mjs";

const [url, issuer, audience] = process.argv.slice(2);
// By default an unknown `kid` causes a fetch at most every 30 seconds; the tests turn that limit off, and the key set
// may be due sooner.
const [freshMs, usableMs] = JSON.parse(process.env.KEYS_SECONDS ?? "[300, 600]").map((seconds) => seconds * 1000);
const keys = issuerKeys(url, { freshMs, usableMs, cooldownDuration: 0 });
const checkStatus = statusLists(keys, issuer);
const options = {
  algorithms: ["RS256", "ES256", "EdDSA"],
  issuer,
  audience,
  typ: "at+jwt",
  clockTolerance: Number(process.env.LEEWAY_SECONDS ?? 30),
  requiredClaims: ["exp", "iat", "iss", "aud", "sub", "jti", "client_id"],
};

async function answer(command) {
  const started = performance.now();
  const result = await check(command);
  return { ...result, seconds: (performance.now() - started) / 1000 };
}

async function check(command) {
  try {
    const { payload } = await jwtVerify(command.token, keys, options);
    if (command.status) await checkStatus(payload);
    return { ok: true, http: 200, sub: payload.sub };
  } catch (error) {
    const http = error instanceof StatusUnknown ? 503 : 401;
    return { ok: false, http, error: `${error.code ?? error.name}: ${error.message}` };
  }
}

const { version } = JSON.parse(readFileSync(new URL("node_modules/jose/package.json", import.meta.url)));
console.log(JSON.stringify({ library: "jose", version }));
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  // Several times at once, if asked to.
  const answers = Array.from({ length: command.times ?? 1 }, () => answer(command));
  console.log(JSON.stringify(await Promise.all(answers)));
}
