// Builds the snippets of docs/browser.md for Vite and Next, runs them, and signs in through each. `scripts/browser
// --frameworks` runs it.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { block, withAddresses } from "./printed.mjs";
import { Processes, answersAt, freePort } from "./processes.mjs";
import { Stage, folder, startServer } from "./stages.mjs";

const VERSIONS = { vite: ["vite@8.4.0"], next: ["next@16.4.6", "react@19.3.1", "react-dom@19.3.1"] };

const PAGES = {
  vite: ({ http, port }) => ({
    "index.html": '<!doctype html><html lang="en"><title>Shop</title><div id="app"></div><script type="module" src="/main.js"></script>',
    "main.js": block("Scripts in the page", "javascript"),
    "vite.config.js": withAddresses(block("Scripts in the page", "js"), [["5173", String(port)], ["127.0.0.1:8080", http]]),
  }),
  next: ({ http, check }) => ({
    "next.config.mjs": withAddresses(block("Next", "js"), [["127.0.0.1:8080", http]]),
    "proxy.js": withAddresses(block("Next", "javascript"), [["127.0.0.1:8082", check]]),
    "app/layout.js": 'export default ({ children }) => <html lang="en"><body>{children}</body></html>;',
    "app/page.js": `import { headers } from "next/headers";
export default async () => {
  const known = await headers();
  const bearer = known.get("authorization")?.startsWith("Bearer ");
  const name = known.get("x-chancery-name") || known.get("x-chancery-subject");
  return name && bearer ? <p>Hello {name}! <a href="/auth/logout">Sign out</a></p> : <p>Nobody is signed in. <a href="/auth/login">Sign in</a></p>;
};`,
  }),
};

const PROGRAMS = {
  vite: ({ dir, port }) => [join(dir, "node_modules/vite/bin/vite.js"), "--host", "127.0.0.1", "--port", String(port)],
  next: ({ dir, port }) => [join(dir, "node_modules/next/dist/bin/next"), "start", dir, "--hostname", "127.0.0.1", "--port", String(port)],
};

/** An application of a framework, built in a folder of its own, in front of a server. */
export async function framework(name, tools) {
  const processes = new Processes(folder(tools, name));
  tools.opened(processes);
  const server = await startServer(processes, tools, ["--trusted-proxy", "127.0.0.1"]);
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  await server.command(["client", "update", "demo-app", "--site", `${origin}/auth`]);
  const dir = join(tools.at, name);
  install(dir, name, { ...server, port });
  await processes.start(name, process.execPath, PROGRAMS[name]({ dir, port }), { cwd: dir, answers: answersAt(`${origin}/`) });
  const plainName = (cookie) => cookie.replace(`-${port}`, "");
  return new Stage(name, processes, server, { origin, client: "demo-app", secure: false, plainName });
}

function install(dir, name, addresses) {
  for (const [file, text] of Object.entries(PAGES[name](addresses))) {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), text);
  }
  const run = (program, ...args) => execFileSync(program, args, { cwd: dir, stdio: "pipe", timeout: 300_000 });
  run("npm", "install", "--no-audit", "--no-fund", "--silent", ...VERSIONS[name]);
  const program = PROGRAMS[name]({ dir, port: 0 })[0];
  run(process.execPath, program, "build", ...(name === "next" ? [dir] : []));
}
