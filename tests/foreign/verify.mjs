// Verifies a token from standard input with jose: verify.mjs JWKS_URL ISSUER AUDIENCE.
import { readFileSync } from "node:fs";
import { createRemoteJWKSet, jwtVerify } from "jose";

const [url, issuer, audience] = process.argv.slice(2);
const token = readFileSync(0, "utf8").trim();
try {
  const keys = createRemoteJWKSet(new URL(url));
  const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer, audience, typ: "at+jwt" });
  console.log(JSON.stringify({ ok: true, sub: payload.sub, alg: protectedHeader.alg }));
} catch (error) {
  console.log(JSON.stringify({ ok: false, error: error.code ?? error.name }));
  process.exit(1);
}
