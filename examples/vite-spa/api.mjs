// The shop's API: it checks tokens offline, and lets the shop's page read its answers.
//   node api.mjs [PORT] [ISSUER] [ORIGIN OF THE PAGE]
import { createServer } from "node:http";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const [port = "3000", issuer = "http://127.0.0.1:8080", page = "http://localhost:8000"] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));

async function subject(authorization = "") {
  const [scheme, token] = authorization.split(" ");
  if (scheme.toLowerCase() !== "bearer" || !token) return undefined;
  try {
    return (await jwtVerify(token, keys, { issuer, audience: "demo-api", typ: "at+jwt" })).payload.sub;
  } catch (error) {
    if (error instanceof errors.JOSEError && error.code !== "ERR_JWKS_TIMEOUT") return undefined;
    throw error;
  }
}

const server = createServer(async (request, response) => {
  const headers = { "access-control-allow-origin": page, vary: "origin" };
  const answer = (status, body, more = {}) =>
    response.writeHead(status, { ...headers, ...more, "content-type": "application/json" }).end(JSON.stringify(body));
  // Before it sends `authorization` to another origin, a browser asks.
  if (request.method === "OPTIONS") return answer(200, {}, { "access-control-allow-headers": "authorization" });
  if (request.url !== "/orders") return answer(404, {});
  try {
    const user = await subject(request.headers.authorization);
    if (!user) return answer(401, {}, { "www-authenticate": 'Bearer error="invalid_token"' });
    answer(200, { subject: user, orders: ["tea", "biscuits"] });
  } catch {
    answer(503, {}, { "retry-after": "1" });
  }
});
server.listen(Number(port), "127.0.0.1", () => console.log(`ready http=127.0.0.1:${server.address().port}`));
