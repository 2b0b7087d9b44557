// A small shop that is one page without a server of its own. People sign in at Chancery's pages, which stand under the
// same origin; a token for the shop's API is kept in memory, and is gone with the page.
//
//   cd examples/vite-spa && npm install && npm run dev            # in one terminal
//   cd examples/vite-spa && npm run api                           # in another: the API
//   cargo run -- serve --dev --app http://127.0.0.1:5173          # in a third; then open http://localhost:8000
const API = import.meta.env.VITE_API ?? "http://127.0.0.1:3000";

let known; // the token, and until when it is used

async function token() {
  if (known && Date.now() < known.until) return known.token;
  // The session's cookie buys a token. Only this origin can ask, and only once somebody has signed in.
  const answer = await fetch("/auth/token", { method: "POST" });
  if (answer.status === 401) return undefined;
  if (!answer.ok) throw new Error(`no token: ${answer.status} ${(await answer.json()).reason}`);
  const { access_token, expires_in } = await answer.json();
  known = { token: access_token, until: Date.now() + (expires_in - 30) * 1000 };
  return access_token;
}

async function orders() {
  const bearer = await token();
  if (!bearer) return undefined;
  const answer = await fetch(`${API}/orders`, { headers: { authorization: `Bearer ${bearer}` } });
  if (answer.status === 401) known = undefined; // the session has ended meanwhile
  return answer.ok ? (await answer.json()).orders : undefined;
}

const app = document.querySelector("#app");
const show = (html) => { app.innerHTML = html; };

const session = await fetch("/auth/session");
if (session.ok) {
  const user = await session.json();
  show('<p id="who">Hello <b></b>!</p><p>Orders: <span id="orders"></span></p><p><a href="/auth/logout">Sign out</a></p>');
  app.querySelector("#who b").textContent = user.name || user.subject;
  app.querySelector("#orders").textContent = (await orders())?.join(", ") ?? "none without a token";
} else {
  show('<p id="who">Nobody is signed in.</p><p><a href="/auth/login">Sign in</a></p>');
}
