// Verifies access tokens with jose: verifier.mjs JWKS_URL ISSUER AUDIENCE. Answers each JSON line with a JSON line.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { statusLists } from "./status_list.mjs";

const [url, issuer, audience] = process.argv.slice(2);
// By default an unknown `kid` causes a fetch at most every 30 seconds; the tests turn that limit off.
const keys = createRemoteJWKSet(new URL(url), { cooldownDuration: 0, cacheMaxAge: 300_000 });
const checkStatus = statusLists(keys, issuer);
const options = {
  algorithms: ["RS256", "ES256", "EdDSA"],
  issuer,
  audience,
  typ: "at+jwt",
  clockTolerance: 0,
  requiredClaims: ["exp", "iat", "iss", "aud", "sub", "jti", "client_id"],
};

async function answer(command) {
  try {
    const { payload } = await jwtVerify(command.token, keys, options);
    if (command.status) await checkStatus(payload);
    return { ok: true, sub: payload.sub };
  } catch (error) {
    return { ok: false, error: `${error.code ?? error.name}: ${error.message}` };
  }
}

const { version } = JSON.parse(readFileSync(new URL("node_modules/jose/package.json", import.meta.url)));
console.log(JSON.stringify({ library: "jose", version }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line))));
}
