// A small shop in Next, whose pages are rendered on the server.
//
//   cd examples/next && npm install && npm run dev                # in one terminal
//   cargo run -- serve --dev --app http://127.0.0.1:5000          # in another; then open http://localhost:8000
import { user } from "../user";

// Plain links, not <Link>: they lead to pages that are not Next's, or that depend on who is signed in.
export default async function Home() {
  const { name } = (await user()) ?? {};
  if (!name) return <><p id="who">Nobody is signed in.</p><p><a href="/sign-in/">Sign in</a></p></>;
  return <><p id="who">Hello {name}!</p><p><a href="/sign-out/">Sign out</a></p></>;
}
