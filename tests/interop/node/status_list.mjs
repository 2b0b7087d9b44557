// Refuses access tokens of revoked sessions and disabled clients, using the issuer's token status lists.
import { inflateSync } from "node:zlib";
import { jwtVerify } from "jose";

const MAX_BYTES = 16 * 1024 * 1024;

// `keys` is the key set that verifies access tokens. Returns a function that takes the claims of a verified token, and
// rejects unless the token's status is 0.
export function statusLists(keys, issuer) {
  const prefix = `${issuer.replace(/\/$/, "")}/statuslists/`;
  const cached = new Map();

  async function fetchList(uri) {
    const requestedAt = performance.now();
    const headers = { accept: "application/statuslist+jwt" };
    const response = await fetch(uri, { headers, signal: AbortSignal.timeout(5000) });
    if (response.status !== 200) throw new Error(`unexpected HTTP status ${response.status}`);
    const { payload } = await jwtVerify(await response.text(), keys, {
      algorithms: ["RS256", "ES256", "EdDSA"],
      typ: "statuslist+jwt",
      subject: uri,
      requiredClaims: ["exp", "ttl", "status_list"],
    });
    const { bits, lst } = payload.status_list;
    if (![1, 2, 4, 8].includes(bits) || !/^[\w-]+$/.test(lst)) throw new Error("the list is malformed");
    const packed = Buffer.from(lst, "base64url");
    const { buffer: data, engine } = inflateSync(packed, { maxOutputLength: MAX_BYTES, info: true });
    if (engine.bytesWritten !== packed.length) throw new Error("something follows the list");
    const seconds = Math.min(payload.ttl, payload.exp - Date.now() / 1000);
    return { until: requestedAt + seconds * 1000, bits, data };
  }

  function list(uri) {
    if (!uri.startsWith(prefix)) throw new Error("the list is not the issuer's");
    let entry = cached.get(uri);
    if (!entry || !(performance.now() < entry.until)) {
      // Concurrent checks wait for the same fetch.
      entry = { until: Infinity, list: fetchList(uri) };
      cached.set(uri, entry);
      entry.list.then((l) => { entry.until = l.until; }, () => cached.delete(uri));
    }
    return entry.list;
  }

  async function value({ idx, uri }) {
    const { bits, data } = await list(uri);
    if (!Number.isSafeInteger(idx) || idx < 0 || idx >= (data.length * 8) / bits) throw new Error("no such index");
    return (data[Math.floor((idx * bits) / 8)] >> ((idx * bits) % 8)) & ((1 << bits) - 1);
  }

  return async function check(claims) {
    // A token whose status is unknown is refused: every failure rejects.
    const status = await value(claims.status?.status_list ?? {}).catch((e) => `unknown: ${e.message}`);
    if (status !== 0) throw new Error(`status ${status}`);
  };
}
