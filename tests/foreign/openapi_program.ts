// A program by generated types: it signs in, looks at the account, and sends a wrong password.
import type { components, paths } from "./chancery.js";

type Body<Path extends keyof paths> = paths[Path]["post"] extends { requestBody: { content: { "application/json": infer B } } }
  ? B
  : never;
type Answer<Path extends keyof paths> = paths[Path]["post"] extends {
  responses: { 200: { content: { "application/json": infer A } } };
}
  ? A
  : never;
type Errors<Path extends keyof paths> = paths[Path]["post"] extends { responses: infer R } ? R[Exclude<keyof R, 200>] : never;
type Refusal<Path extends keyof paths> =
  Errors<Path> extends infer E ? (E extends { content: { "application/json": infer B } } ? B : never) : never;
// Only the reasons that the method documents.
type Reason<Path extends keyof paths> =
  Refusal<Path> extends { details: (infer D)[] } ? (D extends { debug: { reason: infer N } } ? N : never) : never;
type Detail = { type: "google.rpc.ErrorInfo"; debug: { reason: string } } | components["schemas"]["OtherErrorDetail"];

declare const process: { argv: string[] };
const [server, password] = process.argv.slice(2);

class Refused<Path extends keyof paths> extends Error {
  constructor(readonly status: number, readonly reason: Reason<Path>) {
    super(String(reason));
  }
}

async function call<Path extends keyof paths>(path: Path, body: Body<Path>, token?: string): Promise<Answer<Path>> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
  const answer = await fetch(`${server}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.ok) return (await answer.json()) as Answer<Path>;
  const { details } = (await answer.json()) as { details: Detail[] };
  for (const detail of details) {
    if (detail.type === "google.rpc.ErrorInfo") throw new Refused<Path>(answer.status, detail.debug.reason as Reason<Path>);
  }
  throw new Error(`no reason: ${answer.status}`);
}

const login = { clientId: "demo-app", login: "ada", audience: server ?? "" };
const signedIn = await call("/chancery.v1.AuthService/Login", { ...login, password: password ?? "" });
if (signedIn.tokens?.accessToken === undefined) throw new Error("no tokens");
const me = await call("/chancery.v1.AccountService/GetMe", {}, signedIn.tokens.accessToken);
let reason: Reason<"/chancery.v1.AuthService/Login"> | undefined;
try {
  await call("/chancery.v1.AuthService/Login", { ...login, password: "a wrong pass phrase" });
} catch (error) {
  if (error instanceof Refused) reason = error.reason;
}
// @ts-expect-error: it is no reason of this method.
const never: typeof reason = "ETAG_MISMATCH";
console.log(JSON.stringify({ name: me.user?.name, reason }));
