// The calls of a client's life, and what came of each, for any transport of Connect's clients. The same file runs in Node
// and in a browser.
import { Code, ConnectError, createClient } from "@connectrpc/connect";

import { AccountService } from "./gen/chancery/v1/account_service_pb.js";
import { AuthService } from "./gen/chancery/v1/auth_service_pb.js";
import { KeyService } from "./gen/chancery/v1/key_service_pb.js";
import { RevocationService } from "./gen/chancery/v1/revocation_service_pb.js";
import { ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });

/** What a program learns of a call that fails. */
export function told(error) {
  const refused = ConnectError.from(error);
  const [info] = refused.findDetails(ErrorInfoSchema);
  return `${Code[refused.code]} ${info?.domain} ${info?.reason}`;
}

/** What a call is refused with. */
export const refusal = (call) => call.then(() => "it succeeded", told);

/** The message of a sign-in that gets a token for calls of the server itself. */
export const signIn = ({ audience, clientId, login, password }) => ({ clientId, login, password, audience });

/** Signs in, refreshes, lists sessions and signs out; and fails in each way that a program has to tell apart. */
export async function unaryStory(transport, person) {
  const [auth, account, keys] = [AuthService, AccountService, KeyService].map((service) => createClient(service, transport));
  const { clientId, audience } = person;
  let headers;
  const { result } = await auth.login(signIn(person), { onHeader: (all) => { headers = all; } });
  const first = result.value;
  const { tokens: second } = await auth.refresh({ clientId, refreshToken: first.refreshToken, audience, requestId: "one" });
  const { sessions } = await account.listMySessions({}, bearer(second.accessToken));
  const { jwksJson, keys: set } = await keys.getJwks({});
  const found = {
    result: result.case,
    requestId: headers.get("x-request-id")?.slice(0, 4),
    refreshed: second.sessionId === first.sessionId && second.refreshToken !== first.refreshToken,
    lives: second.accessTokenExpireTime.seconds > BigInt(Math.floor(Date.now() / 1000)),
    current: sessions.filter(({ current }) => current).map(({ sessionId }) => sessionId === first.sessionId),
    keys: set.length > 0 && set.every(({ kid }) => jwksJson.includes(kid)),
    wrongPassword: await refusal(auth.login(signIn({ ...person, password: "a wrong pass phrase" }))),
    wrongClient: await refusal(auth.login(signIn({ ...person, clientId: "nobody" }))),
    noToken: await refusal(account.listMySessions({})),
    badToken: await refusal(account.listMySessions({}, bearer("x.y.z"))),
    noField: await refusal(auth.login({ clientId })),
    tooLarge: await refusal(auth.login(signIn({ ...person, password: "x".repeat(70_000) }))),
  };
  await auth.logout({ clientId, refreshToken: second.refreshToken });
  found.signedOut = await refusal(auth.refresh({ clientId, refreshToken: second.refreshToken }));
  return found;
}

/** Wrong passwords until one has to wait: how long, by the detail and, where there is one, by the header. */
export async function waitingStory(transport, person) {
  const auth = createClient(AuthService, transport);
  for (let attempt = 0; attempt < 30; attempt += 1) {
    const error = await auth.login(signIn({ ...person, password: "a wrong pass phrase" })).catch((error) => error);
    if (error.code === Code.ResourceExhausted) {
      const [wait] = error.findDetails(RetryInfoSchema);
      return { told: told(error), waits: Number(wait.retryDelay.seconds) >= 0, header: error.metadata.get("retry-after") };
    }
  }
  return "never had to wait";
}

/**
 * Reads the two streams: the keys as they are, and a revocation that happens while it is watched, by a client with the
 * permission or else by the user.
 */
export async function streamStory(transport, person, watcher) {
  const [auth, keys, revocations] = [AuthService, KeyService, RevocationService].map((service) => createClient(service, transport));
  const authorization = watcher ?? `Bearer ${(await auth.login(signIn(person))).result.value.accessToken}`;
  const stop = new AbortController();
  const { signal } = stop;
  const watched = keys.watchJwks({}, { signal })[Symbol.asyncIterator]();
  const first = (await watched.next()).value;
  const { result } = await auth.login(signIn(person));
  const pair = result.value;
  const seen = [];
  for await (const { event } of revocations.watchRevocations({}, { signal, headers: { authorization } })) {
    if (seen.length === 0) await auth.logout({ clientId: person.clientId, refreshToken: pair.refreshToken });
    if (!seen.includes(event.case)) seen.push(event.case);
    if (event.case === "revocation" && event.value.subject.value !== pair.sessionId) throw new Error("of another session");
    if (seen.includes("revocation") && seen.includes("heartbeat")) break;
  }
  stop.abort();
  const unauthorized = revocations.watchRevocations({})[Symbol.asyncIterator]();
  return { keys: first.keys.length > 0, seen: seen.sort(), unauthorized: await refusal(unauthorized.next()) };
}
