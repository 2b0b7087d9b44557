// Servers, applications and proxies to walk through.
import { execFile, execFileSync } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { block, withAddresses } from "./printed.mjs";
import { Processes, answersAt, freePort, until, within } from "./processes.mjs";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));
const PATIENCE = 30_000;
const SITE = "shop.test";

const statusIs = (url, status) => async () => (await fetch(url)).status === status;

/** The applications: each starts on a port, and says hello to those who are signed in. */
export const APPLICATIONS = {
  async flask(processes, { at }, port) {
    const args = ["-m", "flask", "--app", join(EXAMPLES, "flask/app.py"), "run", "--port", String(port)];
    const env = { PYTHONDONTWRITEBYTECODE: "1" };
    await processes.start("flask", join(at, "venv/bin/python"), args, { env, answers: answersAt(`http://127.0.0.1:${port}/`) });
  },
  async express(processes, { at }, port) {
    // Where `npm install express` was run.
    const program = join(at, "node/app.mjs");
    writeFileSync(program, readFileSync(join(EXAMPLES, "express/app.mjs")));
    await processes.start("express", process.execPath, [program, String(port)]);
  },
  async axum(processes, { programs }, port, server) {
    const args = [`127.0.0.1:${port}`, server.issuer, server.audience];
    await processes.start("axum", join(programs, "axum-pages"), args);
  },
};

export class Stage {
  constructor(name, processes, server, rest) {
    Object.assign(this, { name, processes, server, launchArgs: [] }, rest);
  }

  /** The newest mail of a kind to an address that is not among those already read. */
  async mail(to, kind, read = new Set()) {
    const ask = async () => {
      const response = await fetch(`http://${this.server.http}/dev/mail`, { headers: { accept: "application/json" } });
      return (await response.json()).find((mail) => mail.to === to && mail.kind === kind && !read.has(mail.id));
    };
    const mail = await within(PATIENCE, until(ask), `no mail ${kind} came to ${to}`);
    read.add(mail.id);
    return mail;
  }

  command(args, input) {
    return this.server.command(args, input);
  }

  async end() {
    await this.processes.endAll();
  }
}

export async function startServer(processes, { programs }, flags) {
  const data = join(processes.dir, "data");
  const env = Object.fromEntries(Object.keys(process.env).filter((n) => n.startsWith("CHANCERY_")).map((n) => [n, undefined]));
  const free = ["--grpc", "--http", "--telemetry", "--check"].flatMap((flag) => [flag, "127.0.0.1:0"]);
  const args = ["serve", "--dev", "--data-dir", data, ...free, ...flags];
  const said = await processes.start("chancery", join(programs, "chancery"), args, { env });
  const command = (line, input = "") => {
    const options = { env: { ...process.env, ...env }, timeout: PATIENCE };
    const running = promisify(execFile)(join(programs, "chancery"), [...line, "--data-dir", data], options);
    running.child.stdin.end(input);
    return running;
  };
  return { ...said, issuer: `http://${said.http}`, command };
}

/** `serve --dev --app`: one program, and no proxy. */
export async function loopback(tools, application, more = []) {
  const processes = new Processes(folder(tools, `loopback-${application}`));
  tools.opened(processes);
  const [port, listen] = [await freePort(), await freePort()];
  const flags = ["--app", `http://127.0.0.1:${port}`, "--app-listen", `127.0.0.1:${listen}`, ...more];
  const server = await startServer(processes, tools, flags);
  server.audience = "demo-api";
  await APPLICATIONS[application](processes, tools, port, server);
  const origin = `http://localhost:${listen}`;
  await within(PATIENCE, until(statusIs(`${origin}/auth/login`, 200)), "the pages are not there");
  const plainName = (name) => (name.endsWith(`-${listen}`) ? name.slice(0, -`-${listen}`.length) : `${name}, which is not ours`);
  return new Stage(`--app with ${application}`, processes, server, { origin, client: "demo-app", secure: false, plainName });
}

/** A site of its own behind a proxy with TLS, configured as docs/browser.md prints it. */
export async function behind(proxy, tools, application) {
  const processes = new Processes(folder(tools, proxy));
  tools.opened(processes);
  const server = await startServer(processes, tools, ["--trusted-proxy", "127.0.0.1"]);
  server.audience = "shop-api";
  const site = ["--site", `https://${SITE}/auth`, "--display-name", "Example Shop", "--audience", server.audience];
  await server.command(["client", "create", "shop", "--public", "--first-party", "--registration", ...site]);
  const [port, listen] = [await freePort(), await freePort()];
  await APPLICATIONS[application](processes, tools, port, server);
  const certificate = certify(processes.dir);
  const addresses = { listen, http: server.http, check: server.check, application: `127.0.0.1:${port}` };
  const [args, env] = PROXIES[proxy](processes.dir, addresses);
  const program = join(tools.at, "../proxies/bin", proxy);
  await processes.start(proxy, program, args, { env, answers: () => tcpAnswers(listen) });
  const launchArgs = [
    `--host-resolver-rules=MAP ${SITE}:443 127.0.0.1:${listen}`,
    `--ignore-certificate-errors-spki-list=${certificate}`,
  ];
  const plainName = (name) => (name.startsWith("__Host-") ? name.slice("__Host-".length) : `${name}, which is not ours`);
  const rest = { origin: `https://${SITE}`, client: "shop", secure: true, plainName, launchArgs, listen };
  return new Stage(`${proxy} with ${application}`, processes, server, rest);
}

const PROXIES = {
  nginx(dir, { listen, http, check, application }) {
    const printed = block("nginx", "nginx");
    const text = withAddresses(printed, [
      ["listen 443 ssl;", `listen 127.0.0.1:${listen} ssl;`],
      ["/etc/ssl/shop.example.pem", join(dir, "cert.pem")],
      ["/etc/ssl/shop.example.key", join(dir, "key.pem")],
      ["shop.example", SITE],
      ["127.0.0.1:8080", http],
      ["127.0.0.1:8082", check],
      ["127.0.0.1:5000", application],
    ]);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${dir}/${name};\n`);
    // What Debian's nginx.conf says, but in a folder of this run, and in one process.
    const around = `daemon off;\nmaster_process off;\nuser root;\npid ${dir}/nginx.pid;\nevents {}\nhttp {\naccess_log off;\n${temporary.join("")}${text}\n}\n`;
    writeFileSync(join(dir, "nginx.conf"), around);
    return [["-e", join(dir, "error.log"), "-c", join(dir, "nginx.conf")], {}];
  },
  caddy(dir, { listen, http, check, application }) {
    const printed = block("Caddy", "caddyfile");
    const text = withAddresses(printed, [
      ["shop.example {", `${SITE}:${listen} {\n\ttls ${join(dir, "cert.pem")} ${join(dir, "key.pem")}`],
      ["127.0.0.1:8080", http],
      ["127.0.0.1:8082", check],
      ["127.0.0.1:5000", application],
    ]);
    writeFileSync(join(dir, "Caddyfile"), `{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\tauto_https disable_redirects\n}\n\n${text}\n`);
    const env = { HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir };
    return [["run", "--adapter", "caddyfile", "--config", join(dir, "Caddyfile")], env];
  },
};

export function folder({ work }, name) {
  // Two stages of one application have nothing in common.
  return mkdtempSync(join(work, `${name}-`));
}

/** Makes a certificate for a day, and returns the hash of its key, which the browser is told to trust. */
function certify(dir) {
  const [cert, key] = [join(dir, "cert.pem"), join(dir, "key.pem")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const names = ["-subj", `/CN=${SITE}`, "-addext", `subjectAltName=DNS:${SITE}`, "-days", "1"];
  execFileSync("openssl", ["req", "-x509", ...curve, ...names, "-keyout", key, "-out", cert], { stdio: "pipe" });
  const spki = new X509Certificate(readFileSync(cert)).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("base64");
}

function tcpAnswers(port) {
  return new Promise((answer) => {
    const socket = connect(port, "127.0.0.1", () => answer(socket.destroy() && true)).once("error", () => answer(false));
  });
}
