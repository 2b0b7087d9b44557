// What a page has of these clients: `window.calls`.
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

import { grpcWebStory } from "./grpc_web.mjs";
import { streamStory, unaryStory, waitingStory } from "./story.mjs";

const PATH = "/chancery.v1.AuthService/Login";
const JSON_HEADERS = { "content-type": "application/json" };

const transport = (kind, { issuer: baseUrl }) =>
  (kind === "json" ? createConnectTransport : createGrpcWebTransport)({ baseUrl, defaultTimeoutMs: 20_000 });

/** Calls by hand. */
async function byHand({ issuer, clientId, login, password, audience }) {
  const call = async (method, message, headers = {}) => {
    const body = JSON.stringify(message);
    const answer = await fetch(`${issuer}/chancery.v1.${method}`, { method: "POST", headers: { ...JSON_HEADERS, ...headers }, body });
    return { status: answer.status, id: answer.headers.get("x-request-id")?.slice(0, 4), wait: answer.headers.get("retry-after"), ...await answer.json() };
  };
  const first = await call("AuthService/Login", { clientId, login, password, audience });
  const second = await call("AuthService/Refresh", { client_id: clientId, refresh_token: first.tokens.refreshToken, audience });
  const authorization = `Bearer ${second.tokens.accessToken}`;
  const listed = await call("AccountService/ListMySessions", {}, { authorization });
  const wrong = await call("AuthService/Login", { clientId, login, password: "a wrong pass phrase", audience });
  return {
    refreshed: second.tokens.sessionId === first.tokens.sessionId,
    current: listed.sessions.some(({ sessionId, current }) => current && sessionId === first.tokens.sessionId),
    wrong: [wrong.status, wrong.code, wrong.details[0].debug.reason, wrong.id],
  };
}

/** What a page of another site can try: how each ended, as far as the page can tell. */
async function attacks({ issuer, clientId, login, audience }) {
  const url = `${issuer}${PATH}`;
  const body = JSON.stringify({ clientId, login, password: "a wrong pass phrase", audience });
  const tries = {
    json: { headers: JSON_HEADERS },
    withCookies: { headers: JSON_HEADERS, credentials: "include" },
    grpcWeb: { headers: { "content-type": "application/grpc-web+proto" } },
    plain: { headers: { "content-type": "text/plain" } },
    plainUnread: { headers: { "content-type": "text/plain" }, mode: "no-cors" },
    // Without a preflight, the browser drops the type that was asked for.
    jsonUnread: { headers: JSON_HEADERS, mode: "no-cors" },
    form: { headers: { "content-type": "application/x-www-form-urlencoded" }, mode: "no-cors", credentials: "include" },
    multipart: { body: Object.assign(new FormData()), mode: "no-cors" },
  };
  const ended = {};
  for (const [name, more] of Object.entries(tries)) {
    ended[name] = await fetch(url, { method: "POST", body, ...more }).then(({ type }) => type, ({ name }) => name);
  }
  ended.beacon = navigator.sendBeacon(url, new Blob([body], { type: "text/plain" }));
  return ended;
}

window.calls = {
  unary: (kind, person) => unaryStory(transport(kind, person), person),
  streams: (person) => streamStory(transport("web", person), person),
  waiting: (kind, person) => waitingStory(transport(kind, person), person),
  grpcWeb: grpcWebStory,
  byHand,
  attacks,
  /** With the cookies that the browser has: whether the page may read the answer. */
  withCookies: ({ issuer }) =>
    fetch(`${issuer}/chancery.v1.AccountService/GetMe`, { method: "POST", headers: JSON_HEADERS, body: "{}", credentials: "include" })
      .then(({ status }) => status, ({ name }) => name),
};
