// A service in JavaScript that has its callers' tokens checked by a guard: service.mjs PORT GUARD_URL.
import { createServer } from "node:http";

const [port, guard] = process.argv.slice(2);

/** What the guard says of an Authorization header. */
async function check(authorization) {
  try {
    const headers = authorization ? { authorization } : {};
    return await fetch(`${guard}/check`, { headers, signal: AbortSignal.timeout(2000) });
  } catch {
    // Without its guard the service does not know who calls.
    return new Response(null, { status: 503 });
  }
}

const server = createServer(async (request, response) => {
  const verdict = await check(request.headersDistinct.authorization?.join(", "));
  if (verdict.status !== 200) {
    const challenge = verdict.headers.get("www-authenticate");
    response.writeHead(verdict.status, challenge ? { "www-authenticate": challenge } : {}).end();
    return;
  }
  response.end(`orders of ${verdict.headers.get("x-chancery-subject")}\n`);
});
server.listen(Number(port), "127.0.0.1", () => console.log(`ready http=127.0.0.1:${server.address().port}`));
