// Refuses access tokens whose session or client has ended, by the issuer's token status lists.
import { inflateSync } from "node:zlib";
import { jwtVerify } from "jose";

const MAX_BYTES = 16 * 1024 * 1024;

// `keys` is the key set that access tokens are verified with. Gives a function that takes the claims of a verified
// token, and rejects unless the list says that the token counts.
export function statusLists(keys, issuer) {
  const prefix = `${issuer.replace(/\/$/, "")}/statuslists/`;
  const kept = new Map();

  async function fetched(uri) {
    const asked = performance.now();
    const headers = { accept: "application/statuslist+jwt" };
    const response = await fetch(uri, { headers, signal: AbortSignal.timeout(5000) });
    if (response.status !== 200) throw new Error(`the list was answered with ${response.status}`);
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
    return { until: asked + seconds * 1000, bits, data };
  }

  function list(uri) {
    if (!uri.startsWith(prefix)) throw new Error("the list is not the issuer's");
    let entry = kept.get(uri);
    if (!entry || !(performance.now() < entry.until)) {
      // Those who ask meanwhile wait for the same answer.
      entry = { until: Infinity, list: fetched(uri) };
      kept.set(uri, entry);
      entry.list.then((l) => { entry.until = l.until; }, () => kept.delete(uri));
    }
    return entry.list;
  }

  async function value({ idx, uri }) {
    const { bits, data } = await list(uri);
    if (!Number.isSafeInteger(idx) || idx < 0 || idx >= (data.length * 8) / bits) throw new Error("no such index");
    return (data[Math.floor((idx * bits) / 8)] >> ((idx * bits) % 8)) & ((1 << bits) - 1);
  }

  return async function check(claims) {
    // What is not known to count does not count: every failure rejects.
    const status = await value(claims.status?.status_list ?? {}).catch((e) => `unknown: ${e.message}`);
    if (status !== 0) throw new Error(`status ${status}`);
  };
}
