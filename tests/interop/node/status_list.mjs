// The issuer's keys, and its token status lists, which refuse access tokens of revoked sessions and disabled clients.
import { inflateSync } from "node:zlib";
import { createRemoteJWKSet, customFetch, jwtVerify } from "jose";
const [MAX_BYTES, TIMEOUT_MS, UNUSED_MS] = [16 * 1024 * 1024, 5000, 600_000];
const [KEYS_TIMEOUT_MS, KEYS_PAUSE_MS] = [2000, 2000];
const UNKNOWN_KEY = ["ERR_JWKS_NO_MATCHING_KEY", "ERR_JWKS_MULTIPLE_MATCHING_KEYS", "ERR_JOSE_NOT_SUPPORTED"];

export class StatusError extends Error {} // The token is revoked, or has no status: answer 401.
export class StatusUnknown extends Error {} // The issuer has not answered for too long to know: answer 503.

// The issuer's key set: fetched again after `freshMs`, in the background, and used for `usableMs`. Rejects with
// StatusUnknown if the issuer has not answered.
export function issuerKeys(url, { freshMs = 300_000, usableMs = 600_000, ...more } = {}) {
  let [refreshAt, retryAt] = [Infinity, 0];
  const fetchKeys = async (...request) => {
    try {
      // Those who waited for a fetch that failed do not wait for another.
      if (performance.now() < retryAt) throw new Error("the last fetch has just failed");
      const response = await fetch(...request);
      if (response.status !== 200) throw new Error(`unexpected HTTP status ${response.status}`);
      const { keys } = await response.json();
      refreshAt = performance.now() + freshMs;
      // A key of another issuer, which is marked, cannot vouch for this one's tokens.
      return Response.json({ keys: keys.filter((key) => !key.foreign) });
    } catch (error) {
      if (performance.now() >= retryAt) retryAt = performance.now() + KEYS_PAUSE_MS;
      throw error;
    }
  };
  const options = { cacheMaxAge: usableMs, timeoutDuration: KEYS_TIMEOUT_MS, [customFetch]: fetchKeys, ...more };
  const remote = createRemoteJWKSet(new URL(url), options);
  return async (header, token) => {
    if (performance.now() >= refreshAt) {
      refreshAt = performance.now() + KEYS_TIMEOUT_MS + KEYS_PAUSE_MS;
      remote.reload().catch(() => {});
    }
    try {
      return await remote(header, token);
    } catch (error) {
      if (UNKNOWN_KEY.includes(error.code)) throw error;
      throw new StatusUnknown(`no key set: ${error.message}`, { cause: error });
    }
  };
}

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
