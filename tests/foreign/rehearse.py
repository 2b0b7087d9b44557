"""Walks what a platform team does to a deployment, under load, and counts the calls that fail.

Two replicas with TLS on one PostgreSQL stand behind HAProxy; verifiers in Python and Node and a guard check tokens all the
time. One user signs out, a replica is restarted, the certificate is replaced, the sealing key is rotated, and the database
is dumped. Then the dump is restored, and what that costs is said.

Usage: rehearse.py BINARY DATABASE_URL FOLDER SERVICE_CONFIG HAPROXY POSTGRES_BIN NODE_VERIFIER
"""

import http.client
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time

import grpc

from certificates import Authority
from replicas import PASSWORD, Load, Replica, Server, run

HERE = pathlib.Path(__file__).parent
WORKERS = 6
DRAIN = "3"
# A status list is published within 5 s and used for 15 s.
LISTS_BOUND = 25
HAPROXY = """
defaults
  mode tcp
  timeout connect 2s
  timeout client 5m
  timeout server 5m
  retries 3
  option redispatch
"""
SITE = """
frontend {name}
  bind 127.0.0.1:{port}
  default_backend {name}
backend {name}
  balance roundrobin
  option httpchk GET /readyz
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def port_of(address):
    return address.rsplit(":", 1)[1]


def haproxy_config(replicas, ports):
    text = HAPROXY
    for name, port in ports.items():
        text += SITE.format(name=name, port=port)
        for n, replica in enumerate(replicas):
            to, health = replica.at[name], port_of(replica.at["telemetry"])
            text += f"  server replica{n} {to} check port {health} inter 300ms fall 1 rise 1\n"
    return text


class LineVerifier:
    """A verifier in another language, which answers each JSON line with a JSON line."""

    def __init__(self, command, environment):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=os.environ | environment, **pipes)
        self.process.stdout.readline()
        self.turn = threading.Lock()

    def status(self, token):
        with self.turn:
            self.process.stdin.write(json.dumps({"token": token, "status": True}) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())[0]
        return answer["http"]


class Guard:
    """`chancery guard`, asked over HTTP."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().split("http=")[1].split()[0]

    def status(self, token):
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", "/check", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status
        finally:
            connection.close()


class Watch:
    """Has every verifier check a live token, over and over."""

    def __init__(self, verifiers, token):
        self.verifiers, self.token = verifiers, token
        self.ended, self.checks, self.refused = threading.Event(), 0, []
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.ended.wait(0.2):
            for name, verifier in self.verifiers.items():
                status = verifier.status(self.token())
                self.checks += 1
                if status != 200:
                    self.refused.append(f"{name}: {status}")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def until(what, limit, is_true):
    """Wait, and return how long it took."""
    began = time.monotonic()
    while not is_true():
        if time.monotonic() - began > limit:
            raise SystemExit(f"rehearse: {what} has not happened within {limit} s")
        time.sleep(0.02)
    return time.monotonic() - began


def say(text):
    print(text, flush=True)


class Rehearsal:
    def __init__(self, binary, url, folder, config, haproxy, postgres, node_verifier):
        self.binary, self.url, self.folder = binary, url, pathlib.Path(folder)
        self.config, self.postgres = pathlib.Path(config).read_text(), pathlib.Path(postgres)
        self.authority = Authority(self.folder)
        self.cert, self.key = self.folder / "tls.crt", self.folder / "tls.key"
        self.authority.issue(self.cert, self.key)
        self.ports = {"grpc": free_port(), "http": free_port()}
        self.issuer = f"https://localhost:{self.ports['http']}"
        self.sealing = self.folder / "sealing.key"
        run(binary, "sealing-key", "generate", "--out", self.sealing)
        self.running = []
        self.set_up(haproxy)
        self.verifiers = self.start_verifiers(node_verifier)

    def place(self, *keys):
        named = [word for key in keys or [self.sealing] for word in ("--sealing-key-file", str(key))]
        return ["--database", self.url, "--data-dir", str(self.folder), *named]

    def command(self, *words, **more):
        return run(self.binary, *words, **more)

    def flags(self, *keys):
        tls = ["--tls-cert", str(self.cert), "--tls-key", str(self.key), "--telemetry-tls-cert", "none"]
        return [*self.place(*keys), "--issuer", self.issuer, "--drain", DRAIN, *tls]

    def set_up(self, haproxy):
        logs = [self.folder / f"replica-{n}.log" for n in range(2)]
        self.replicas = [Replica(self.binary, self.flags(), log).start() for log in logs]
        app = ["--public", "--first-party", "--audience", "api", "--alg", "ES256"]
        self.command("client", "create", "app", *app, *self.place())
        watcher = ["--audience", "api", "--permission", "revocations.read", "--json"]
        made = json.loads(self.command("client", "create", "watcher", *watcher, *self.place()))
        (self.folder / "watcher.secret").write_text(made["client_secret"])
        self.users = [f"user{n}" for n in range(WORKERS)]
        for user in [*self.users, "alice", "bob", "carol", "dave"]:
            self.command("user", "create", user, "--password-stdin", *self.place(), input=PASSWORD)
        config = self.folder / "haproxy.cfg"
        config.write_text(haproxy_config(self.replicas, self.ports))
        log = open(self.folder / "haproxy.log", "wb")
        self.running.append(subprocess.Popen([haproxy, "-db", "-f", str(config)], stdout=log, stderr=log))
        self.server = self.new_server()

    def new_server(self):
        ca = self.authority.ca.read_bytes()
        return Server(f"ipv4:127.0.0.1:{self.ports['grpc']}", self.config, ca)

    def start_verifiers(self, node_verifier):
        ca = str(self.authority.ca)
        jwks = [f"{self.issuer}/.well-known/jwks.json", self.issuer, "api"]
        watch = ["--watch", f"https://localhost:{self.ports['grpc']}", "--client-id", "watcher"]
        watch += ["--client-secret-file", str(self.folder / "watcher.secret"), "--ca-file", ca]
        guard = [self.binary, "guard", "--issuer", self.issuer, "--audience", "api", "--http", "127.0.0.1:0", *watch]
        interop = HERE.parent / "interop" / "python" / "verifier.py"
        verifiers = {
            "guard": Guard(guard),
            "Python": LineVerifier([sys.executable, interop, *jwks], {"SSL_CERT_FILE": ca}),
            "Node": LineVerifier(["node", node_verifier, *jwks], {"NODE_EXTRA_CA_CERTS": ca}),
        }
        self.running += [verifier.process for verifier in verifiers.values()]
        return verifiers

    def sign_in(self, user):
        message = {"client_id": "app", "login": user, "password": PASSWORD}
        return self.server.call("AuthService/Login", message)["tokens"]

    def refresh(self, tokens):
        """New tokens, or the reason why there are none."""
        try:
            message = {"client_id": "app", "refresh_token": tokens["refresh_token"]}
            return self.server.call("AuthService/Refresh", message)["tokens"]
        except grpc.RpcError as error:
            return error.details()

    def sign_out(self, tokens):
        self.server.call("AuthService/Logout", {"client_id": "app", "refresh_token": tokens["refresh_token"]})

    def fate(self, tokens):
        now = self.refresh(tokens)
        return "alive" if isinstance(now, dict) else now

    def walk(self):
        self.alice, bob = self.sign_in("alice"), self.sign_in("bob")
        for name, verifier in self.verifiers.items():
            until(f"{name} accepts a token", 30, lambda v=verifier: v.status(bob["access_token"]) == 200)
        servers = [self.new_server() for _ in self.users]
        began = time.monotonic()
        with Load(servers, self.users) as load, Watch(self.verifiers, lambda: self.alice["access_token"]) as watch:
            self.sign_out(bob)
            signed_out = time.monotonic()
            for name, verifier in self.verifiers.items():
                until(f"{name} refuses", LISTS_BOUND, lambda v=verifier: v.status(bob["access_token"]) == 401)
                say(f"  bob signed out: refused by {name} at the latest {time.monotonic() - signed_out:.2f} s later")
            self.replicas[0].restart()
            say("  a replica was restarted")
            self.renew()
            self.rotate_sealing_key()
            self.dump()
        say(f"under load for {time.monotonic() - began:.0f} s: {load.report()}")
        say(f"checks of a live token: {watch.checks}, refused: {len(watch.refused)} {watch.refused[:5]}")
        self.failed = bool(load.failures or watch.refused)

    def renew(self):
        serial = self.authority.issue(self.cert, self.key)
        for replica in self.replicas:
            replica.hang_up()
        for replica in self.replicas:
            until("the new certificate is served", 10, lambda r=replica: self.served_serial(r) == serial)
        say("  the certificate was replaced")

    def served_serial(self, replica):
        from cryptography import x509

        pem = ssl.get_server_certificate(("127.0.0.1", int(port_of(replica.at["http"]))))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def rotate_sealing_key(self):
        new = self.folder / "sealing-2.key"
        self.command("sealing-key", "generate", "--out", new)
        for replica in self.replicas:
            replica.restart("--sealing-key-file", str(new))
            time.sleep(1)
        self.keys = [self.sealing, new]
        said = self.command("sealing-key", "rotate", *self.place(*self.keys)).strip()
        self.alice = self.refresh(self.alice)
        if not isinstance(self.alice, dict):
            raise SystemExit(f"rehearse: alice's session did not live through the rotation: {self.alice}")
        say(f"  the sealing key was rotated, and alice's session lives: {said.splitlines()[0]}")

    def dump(self):
        # Of before the dump, and what happens to it after.
        self.dave = self.sign_in("dave")
        run(self.postgres / "pg_dump", "--format=custom", f"--file={self.folder / 'dump'}", f"--dbname={self.url}")
        say("  the database was dumped")
        self.alice = self.refresh(self.alice)
        self.carol = self.sign_in("carol")
        self.sign_out(self.dave)
        guard = self.verifiers["guard"]
        until("the guard refuses", 10, lambda: guard.status(self.dave["access_token"]) == 401)

    def restore(self):
        for replica in self.replicas:
            replica.stop()
        base, _ = self.url.rsplit("/", 1)
        run(self.postgres / "createdb", f"--maintenance-db={self.url}", "restored")
        self.url = f"{base}/restored"
        restore = ["--exit-on-error", "--no-owner", f"--dbname={self.url}", self.folder / "dump"]
        run(self.postgres / "pg_restore", *restore)
        self.command("restored", *self.place(*self.keys))
        for replica in self.replicas:
            replica.flags = self.flags(*self.keys)
            replica.start()
        until("calls are answered", 30, lambda: isinstance(self.probe(), dict))
        guard = self.verifiers["guard"]
        until("the guard is current", 30, lambda: guard.status(self.alice["access_token"]) == 200)
        say("the dump restored, after `chancery restored`:")
        say(f"  alice, who refreshed after the dump: {self.fate(self.alice)}")
        say(f"  carol, who signed in after it: {self.fate(self.carol)}")
        say(f"  dave, who signed out after it: {self.fate(self.dave)}")
        say(f"  dave's token of before, at the guard that saw him sign out: {guard.status(self.dave['access_token'])}")
        alice = self.sign_in("alice")
        self.command("restored", "--end-sessions", *self.place(*self.keys))
        until("sessions are ended", 10, lambda: guard.status(alice["access_token"]) == 401)
        say("the same with --end-sessions:")
        say(f"  alice: {self.fate(alice)}")
        say(f"  her token at the guard: {guard.status(alice['access_token'])}")
        again = self.sign_in("alice")
        took = until("a new sign-in counts", 10, lambda: guard.status(again["access_token"]) == 200)
        say(f"  she signs in again, and the guard accepts her after {took:.2f} s")

    def probe(self):
        try:
            return self.server.call("KeyService/GetJwks", {})
        except grpc.RpcError as error:
            return error

    def end(self):
        for process in [*self.running, *(replica.process for replica in self.replicas)]:
            process.terminate()
        for process in [*self.running, *(replica.process for replica in self.replicas)]:
            process.wait()


def main():
    rehearsal = Rehearsal(*sys.argv[1:])
    try:
        rehearsal.walk()
        rehearsal.restore()
    finally:
        rehearsal.end()
    if rehearsal.failed:
        sys.exit("rehearse: calls failed")


main()
