// A small shop in Express. It reads the headers that the proxy sets, and knows nothing of cookies.
//
//   npm install express
//   node examples/express/app.mjs 5000                            # in one terminal
//   cargo run -- serve --dev --app http://127.0.0.1:5000          # in another; then open http://localhost:8000
import express from "express";

const app = express();
const visits = new Map(); // a table, in earnest

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const page = (title, body) => `<!doctype html><html lang=en><title>${title}</title><main>${body}</main>`;

// Who it is. Each value is percent-encoded; a header without a value is empty.
app.use((request, _response, next) => {
  const header = (name) => decodeURIComponent(request.get(`x-chancery-${name}`) ?? "");
  const permissions = header("permissions").split(" ");
  request.user = header("subject") && { id: header("subject"), name: header("name") || header("subject"), permissions };
  request.visitor = header("visitor");
  next();
});

app.get("/", ({ user }, response) => {
  if (!user) return response.send(page("Shop", '<p id=who>Nobody is signed in.<p><a href="/sign-in/">Sign in</a>'));
  response.send(page("Shop", `<p id=who>Hello ${escape(user.name)}!<p><a href="/sign-out/">Sign out</a>`));
});

// Recognition, signed in or not; it authorizes nothing.
app.get("/visits/", ({ visitor, query }, response) => {
  if (!visitor && "asked" in query) return response.send(page("Visits", "<p>Your browser keeps no cookies."));
  if (!visitor) return response.redirect("/auth/visitor?return_to=/visits/?asked");
  visits.set(visitor, (visits.get(visitor) ?? 0) + 1);
  response.send(page("Visits", `<p>This is your <b id=visits>${visits.get(visitor)}.</b> visit.`));
});

app.get("/sign-in/", ({ user }, response) => {
  if (!user) return response.redirect("/auth/login?return_to=/sign-in/");
  response.send(page("Members", '<p id=members>For members only.<p><a href="/">Home</a>'));
});

app.get("/refunds/", ({ user }, response) => {
  if (!user?.permissions.includes("orders.refund")) return response.status(403).send("You may not refund orders.");
  response.send(page("Refunds", "<p id=refunds>For clerks only."));
});

app.get("/sign-out/", (_request, response) => response.redirect("/auth/logout?return_to=/"));

// Loopback only: whoever reaches it without the proxy could set the headers himself.
const server = app.listen(Number(process.argv[2] ?? 5000), "127.0.0.1", () => {
  console.log(`ready http=127.0.0.1:${server.address().port}`);
});
