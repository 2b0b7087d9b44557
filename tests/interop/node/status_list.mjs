// Refuses access tokens of revoked sessions and disabled clients, using the issuer's token status lists.
import { inflateSync } from "node:zlib";
import { jwtVerify } from "jose";
const [MAX_BYTES, TIMEOUT_MS, UNUSED_MS] = [16 * 1024 * 1024, 5000, 600_000];

export class StatusError extends Error {} // The token is revoked, or has no status: answer 401.
export class StatusUnknown extends Error {} // The issuer has not answered for too long to know: answer 503.
// `keys` is the key set that verifies access tokens. Returns a function that takes the claims of a verified token, and
// rejects with one of these errors unless the token's status is 0.
export function statusLists(keys, issuer) {
  const prefix = `${issuer.replace(/\/$/, "")}/statuslists/`;
  const entries = new Map();

  async function fetchList(uri, iat) {
    const [askedAt, headers, parts] = [performance.now(), { accept: "application/statuslist+jwt" }, []];
    const response = await fetch(uri, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.status !== 200) throw new Error(`unexpected HTTP status ${response.status}`);
    let size = 0;
    for await (const part of response.body) {
      if ((size += parts[parts.push(part) - 1].length) > MAX_BYTES) throw new Error("the list is too long");
    }
    const [algorithms, requiredClaims] = [["RS256", "ES256", "EdDSA"], ["iat", "exp", "ttl", "status_list"]];
    const expected = { algorithms, requiredClaims, typ: "statuslist+jwt", subject: uri };
    const { payload } = await jwtVerify(Buffer.concat(parts), keys, expected);
    const { bits, lst } = payload.status_list;
    if (![1, 2, 4, 8].includes(bits) || !/^[\w-]+$/.test(lst)) throw new Error("the list is malformed");
    if (payload.iat < iat) throw new Error("the list is older than the last one");
    const packed = Buffer.from(lst, "base64url");
    const { buffer: data, engine } = inflateSync(packed, { maxOutputLength: MAX_BYTES, info: true });
    if (engine.bytesWritten !== packed.length) throw new Error("something follows the list");
    const leftMs = Math.min(payload.ttl, payload.exp - Date.now() / 1000) * 1000;
    const pauseMs = Math.min(Math.max(leftMs / 2, 1000), 3_600_000);
    return { bits, data, iat: payload.iat, exp: payload.exp, staleAt: askedAt + leftMs, pauseMs, error: undefined };
  }

  // Keeps a list fresh until no token has named it for a while. Concurrent calls share one fetch.
  function refresh(uri, entry) {
    entry.pending ??= fetchList(uri, entry.iat).catch((error) => ({ error, pauseMs: 2000 })).then((result) => {
      Object.assign(entry, result, { pending: undefined });
      clearTimeout(entry.timer);
      const next = () => (performance.now() - entry.usedAt < UNUSED_MS ? refresh(uri, entry) : entries.delete(uri));
      entry.timer = setTimeout(next, entry.pauseMs).unref();
    });
    return entry.pending;
  }
  return async function check(claims) {
    const { idx, uri } = claims.status?.status_list ?? {};
    const named = Number.isSafeInteger(idx) && String(uri).startsWith(prefix);
    if (!named) throw new StatusError("the token names no list of the issuer");
    const entry = Object.assign(entries.get(uri) ?? { staleAt: 0, exp: 0, iat: 0 }, { usedAt: performance.now() });
    entries.set(uri, entry);
    // Nobody waits after a fetch has failed: the last list counts until its `exp`.
    if (!entry.error && !(performance.now() < entry.staleAt)) await refresh(uri, entry);
    const { bits, data, exp, error } = entry;
    if (!(Date.now() / 1000 < exp)) throw new StatusUnknown(`status unknown: ${error?.message}`, { cause: error });
    if (idx < 0 || idx >= (data.length * 8) / bits) throw new StatusError("the list has no such index");
    const status = (data[Math.floor((idx * bits) / 8)] >> ((idx * bits) % 8)) & ((1 << bits) - 1);
    if (status !== 0) throw new StatusError(`status ${status}`);
  };
}
