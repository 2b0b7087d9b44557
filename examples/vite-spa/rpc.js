// The second way: a page with a form of its own calls Chancery from another origin, by the client of Connect. The client
// `demo-app` declares that origin; of others, the browser gets no answer.
//
//   cd examples/vite-spa && npm install && npm run generate && npm run dev
//   cargo run -- serve --dev                                      # in another terminal; then open http://localhost:5173/rpc.html
import { createClient, ConnectError } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { AccountService } from "./gen/chancery/v1/account_service_pb.js";
import { AuthService } from "./gen/chancery/v1/auth_service_pb.js";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";

const ISSUER = import.meta.env.VITE_ISSUER ?? "http://127.0.0.1:8080";

let tokens; // in memory only: gone with the page

const bearer = (next) => (request) => {
  if (tokens) request.header.set("authorization", `Bearer ${tokens.accessToken}`);
  return next(request);
};
const transport = createConnectTransport({ baseUrl: ISSUER, interceptors: [bearer] });
const [auth, account] = [createClient(AuthService, transport), createClient(AccountService, transport)];

async function signIn(login, password) {
  tokens = undefined;
  // A token whose audience is the issuer, for calls of Chancery itself.
  const { result } = await auth.login({ clientId: "demo-app", login, password, audience: ISSUER });
  if (result.case === "challenge") throw new Error(`a further step is needed: ${result.value.kind}`);
  tokens = result.value;
}

const at = (id) => document.querySelector(id);
at("#sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("#problem").textContent = "";
  try {
    await signIn(at("#username").value, at("#password").value);
    const { sessions } = await account.listMySessions({});
    at("#sessions").replaceChildren(...sessions.map((session) => {
      const item = document.createElement("li");
      item.textContent = `${session.sessionId}${session.current ? ", this one" : ""}`;
      return item;
    }));
  } catch (error) {
    const [info] = ConnectError.from(error).findDetails(ErrorInfoSchema);
    at("#problem").textContent = info?.reason === "INVALID_CREDENTIALS" ? "Wrong user name or password." : String(error);
  }
});
