// A service in JavaScript that uses a guard to check its callers' tokens: service.mjs PORT GUARD_URL.
import { createServer } from "node:http";

const [port, guard] = process.argv.slice(2);

/** Forwards an Authorization header to the guard; returns its response. */
async function check(authorization) {
  try {
    const headers = authorization ? { authorization } : {};
    return await fetch(`${guard}/check`, { headers, signal: AbortSignal.timeout(2000) });
  } catch {
    // Without the guard the caller cannot be identified.
    return new Response(null, { status: 503 });
  }
}

const server = createServer(async (request, response) => {
  const result = await check(request.headersDistinct.authorization?.join(", "));
  if (result.status !== 200) {
    const challenge = result.headers.get("www-authenticate");
    response.writeHead(result.status, challenge ? { "www-authenticate": challenge } : {}).end();
    return;
  }
  response.end(`orders of ${result.headers.get("x-chancery-subject")}\n`);
});
server.listen(Number(port), "127.0.0.1", () => console.log(`ready http=127.0.0.1:${server.address().port}`));
