"""Runs the verifiers against a real server: drive.py SERVER GRPCURL DIR LANGUAGE… Started by scripts/interop, which
passes a language without a toolchain as `go:reason`. Prints a table; exits with 1 if a check failed."""

import base64
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request

import forge
import key_outage
import outage
from server import ALGORITHMS, PASSWORD, Server
from verifiers import AUDIENCE, Results, Verifier, commands

OTHER = "another-api"
# A list shows a revocation within 5 seconds, and a verifier caches a list for its `ttl` of 15.
MAX_STALENESS = 5 + 15


class Proxy:
    """Forwards requests for the key set to the server and counts them. Each verifier has its own path."""

    def __init__(self, url):
        self.counts, self.lock, outer = {}, threading.Lock(), self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with outer.lock:
                    outer.counts[self.path] = outer.counts.get(self.path, 0) + 1
                with urllib.request.urlopen(url, timeout=10) as answer:
                    body, headers = answer.read(), answer.headers
                self.send_response(200)
                for name in ("content-type", "cache-control", "etag"):
                    self.send_header(name, headers[name])
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.http.server_address[1]}/{name}"

    def count(self, name):
        with self.lock:
            return self.counts.get(f"/{name}", 0)


class Story:
    def __init__(self, server, proxy, verifiers, results):
        self.server, self.proxy, self.verifiers, self.results = server, proxy, verifiers, results
        self.tokens = {}

    def set_up(self):
        create = ["client", "create"]
        self.server.command("user", "create", "grace", "--password-stdin", stdin=PASSWORD)
        app = ["--public", "--first-party", "--audience", AUDIENCE, "--audience", OTHER]
        for alg in ALGORITHMS:
            self.server.command(*create, f"app-{alg}", *app, "--alg", alg)
            self.server.command(*create, f"short-{alg}", *app, "--alg", alg, "--token-lifetime", "1")
        permissions = ["--permission", "keys.rotate", "--permission", "keys.revoke"]
        made = json.loads(self.server.command(*create, "operator", *permissions, "--audience", AUDIENCE, "--json"))
        self.server.basic = base64.b64encode(
            f"{made['client_id']}:{made['client_secret']}".encode()
        ).decode()

    def sign_in(self, alg):
        return self.server.sign_in(f"app-{alg}")["accessToken"]

    def signed_by(self, token):
        header = token.split(".")[0]
        return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]

    def counts(self):
        return {v.language: self.proxy.count(v.language) for v in self.verifiers}

    def expect_fetches(self, check, counts_before, wanted, what):
        """Expect that each verifier has fetched the key set this many times since."""
        for language, count in self.counts().items():
            made = count - counts_before[language]
            self.results.record(check, language, made == wanted, f"{what}: {made} fetches, wanted {wanted}")

    def check_all(self, check, what, tokens, why=None):
        for verifier in self.verifiers:
            for alg, token in tokens.items():
                if why is None:
                    self.results.expect_accepted(check, verifier, f"{alg}, {what}", token)
                else:
                    self.results.expect_refused(check, verifier, f"{alg}, {what}", token, why)

    def first_tokens(self):
        short = {alg: self.server.sign_in(f"short-{alg}")["accessToken"] for alg in ALGORITHMS}
        self.tokens = {alg: self.sign_in(alg) for alg in ALGORITHMS}
        self.check_all("accepted", "right", self.tokens)
        # One library fetches when it starts, so count from zero.
        self.expect_fetches("accepted", {v.language: 0 for v in self.verifiers}, 1, "the first tokens")
        others = {alg: self.server.sign_in(f"app-{alg}", OTHER)["accessToken"] for alg in ALGORITHMS}
        self.check_all("wrong audience refused", "for another", others, "aud")
        with urllib.request.urlopen(f"{self.server.issuer}/statuslists/1", timeout=10) as answer:
            status_list = answer.read().decode()
        self.check_all("status list refused as a token", "a list", {"RS256": status_list}, "typ")
        # These tokens live for one second from sign-in. Wait one more because of rounding.
        time.sleep(2)
        self.check_all("expired refused", "expired", short, "exp")

    def rotation(self):
        check = "rotation: next key, no fetch"
        next_keys = {alg: self.server.keys(alg, "next") for alg in ALGORITHMS}
        counts_before = self.counts()
        self.server.operate("RotateSigningKey", {})
        rotated = {}
        for alg in ALGORITHMS:
            self.server.wait_for_signing_key(alg, next_keys[alg][0])
            rotated[alg] = self.sign_in(alg)
            assert self.signed_by(rotated[alg]) == next_keys[alg][0], f"{alg} was not rotated"
        self.check_all(check, "signed by the new key", rotated)
        self.check_all(check, "signed by the old key", self.tokens)
        self.expect_fetches(check, counts_before, 0, "over the rotation")
        self.tokens = rotated

    def revocations(self, alg):
        check, revoked_check, old = "two revocations: fetched, accepted", "revoked key refused", self.tokens[alg]
        for _ in range(2):
            self.server.operate("RevokeSigningKey", {"kid": self.server.keys(alg, "active")[0]})
        token, counts_before = self.sign_in(alg), self.counts()
        self.check_all(check, "signed by a key never seen", {alg: token})
        self.check_all(check, "once more", {alg: token})
        self.expect_fetches(check, counts_before, 1, alg)
        self.check_all(revoked_check, "signed by the revoked key", {alg: old}, "key")

    def log_out(self):
        live, ended = ({alg: self.server.sign_in(f"app-{alg}") for alg in ALGORITHMS} for _ in range(2))
        live_check, check = "live session passes its list", "logged-out session rejected"
        for verifier in self.verifiers:
            for alg in ALGORITHMS:
                for pairs in (live, ended):
                    self.results.expect_accepted(live_check, verifier, f"{alg}, before", pairs[alg]["accessToken"], True)
        for alg in ALGORITHMS:
            self.server.log_out(f"app-{alg}", ended[alg])
        since = time.monotonic()
        threads = [threading.Thread(target=self.until_rejected, args=(check, v, ended, since)) for v in self.verifiers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for verifier in self.verifiers:
            for alg in ALGORITHMS:
                self.results.expect_accepted(live_check, verifier, f"{alg}, after", live[alg]["accessToken"], True)
                # Without the list the token is accepted, so it was the list that refused it.
                self.results.expect_accepted(check, verifier, f"{alg}, without the list", ended[alg]["accessToken"])

    def until_rejected(self, check, verifier, ended, since):
        for alg, pair in ended.items():
            while True:
                asked = time.monotonic() - since
                answer = verifier.check(pair["accessToken"], True)
                if not answer["ok"] or asked > MAX_STALENESS:
                    break
                time.sleep(0.25)
            ok = not answer["ok"] and re.search("status 1", answer["error"])
            self.results.record(check, verifier.language, ok, f"{alg}, {asked:.1f} s after: {answer}")


def check_forged_lists(issuer, verifiers, results):
    """Check lists that no real server would sign."""
    rejected, values = "bad status lists rejected", "values of 1, 2, 4, 8 bits"
    good, places, bad = (list(f(issuer)) for f in (forge.good_lists, forge.bad_references, forge.bad_lists))
    for verifier in verifiers:
        results.expect_accepted(rejected, verifier, "without the list", good[0][1])
        for what, token, value in good:
            if value == 0:
                results.expect_accepted(values, verifier, what, token, True)
            else:
                results.expect_refused(values, verifier, what, token, rf"status {value}\b", True)
        for what, token, path in places:
            results.expect_refused(rejected, verifier, what, token, "names no list|no such index", True)
            if path:
                results.record(rejected, verifier.language, issuer.count(path) == 0, f"{what}: it was fetched")
        for what, token in bad:
            results.expect_unknown(rejected, verifier, what, token)


def check_caching(issuer, verifiers, results):
    """Check that a list is cached for its `ttl` but not past its `exp`, that none older than the last is taken, and
    that a list is fetched again after a failure."""
    check = "list kept for ttl, not past exp"
    for verifier in verifiers:
        late, ended = f"{verifier.language}-late", time.monotonic() + 10
        results.expect_unknown(check, verifier, "a list not yet there", issuer.at(late, 1))
        issuer.publish(late)
        while not (answer := verifier.check(issuer.at(late, 1), True))["ok"] and time.monotonic() < ended:
            time.sleep(0.25)
        results.record(check, verifier.language, answer["ok"], f"a list published late: {answer}")
    for verifier in verifiers:
        names = [f"{verifier.language}-{what}" for what in ("ttl", "short", "exp")]
        issuer.publish(names[0], ttl=60)
        issuer.publish(names[1], ttl=1)
        issuer.publish(names[2], ttl=60, exp=int(time.time()) + 3)
        for name in names:
            results.expect_accepted(check, verifier, name, issuer.at(name, 1), True)
        # The older list says 1 at this index.
        older = {"bits": 8, "lst": forge.packed(bytes([1, 1]))}
        issuer.publish(names[1], ttl=1, iat=int(time.time()) - 60, status_list=older)
    time.sleep(4)
    for verifier in verifiers:
        names = [f"{verifier.language}-{what}" for what in ("ttl", "short")]
        counts = [issuer.count(f"/statuslists/{name}") for name in names]
        results.record(check, verifier.language, counts[0] == 1, f"ttl: {counts[0]} fetches, wanted 1")
        results.record(check, verifier.language, counts[1] > 1, f"short: {counts[1]} fetches, wanted more than 1")
        for name in names:
            results.expect_accepted(check, verifier, f"{name} again", issuer.at(name, 1), True)
        expired = issuer.at(f"{verifier.language}-exp", 1)
        results.expect_unknown(check, verifier, "past its exp", expired)


def check_calls(directory, server):
    """Connect's client for Go calls over HTTP."""
    server.command("client", "create", "calls", "--public", "--first-party", "--audience", AUDIENCE)
    program = f"{directory}/stubs/go/bin/calls"
    subprocess.run([program, server.issuer, PASSWORD], check=True, timeout=60)
    print("calls over HTTP: Connect's client for Go signs in by JSON and by gRPC-Web")


def run_real_server(directory, binary, grpcurl, languages, results):
    server, verifiers = Server(binary, grpcurl), []
    try:
        server.start()
        server.stop()
        server.age_next_keys()
        server.start()
        proxy = Proxy(f"{server.issuer}/.well-known/jwks.json")
        verifiers = [Verifier(n, commands(directory)[n], proxy.url(n), server.issuer) for n in languages]
        for verifier in verifiers:
            about = verifier.read()
            results.libraries[verifier.language] = f"{about['library']} {about['version']}"
        story = Story(server, proxy, verifiers, results)
        story.set_up()
        story.first_tokens()
        story.rotation()
        for alg in ALGORITHMS:
            story.revocations(alg)
        story.log_out()
        if "go" in languages:
            check_calls(directory, server)
    except BaseException:
        if server.log:
            print(f"the server's log:\n{server.read_log()}", file=sys.stderr)
        raise
    finally:
        for verifier in verifiers:
            verifier.stop()
        server.remove()


def run_forged_issuer(directory, languages, results):
    issuer, verifiers = forge.Issuer(AUDIENCE), []
    try:
        url = f"{issuer.url}/jwks.json"
        verifiers = [Verifier(n, commands(directory)[n], url, issuer.url) for n in languages]
        for verifier in verifiers:
            verifier.read()
        check_caching(issuer, verifiers, results)
        outage.check_outage(issuer, verifiers, results)
        key_outage.check_key_outage(issuer, verifiers, results)
        # Last, because each list that a program cannot use is fetched again and again.
        check_forged_lists(issuer, verifiers, results)
    finally:
        for verifier in verifiers:
            verifier.stop()


def main():
    binary, grpcurl, directory, *named = sys.argv[1:]
    languages = [name for name in named if ":" not in name]
    results = Results(languages)
    if languages:
        run_real_server(directory, binary, shutil.which(grpcurl) or grpcurl, languages, results)
        run_forged_issuer(directory, languages, results)
        print(results.table())
    for name, why in (n.split(":", 1) for n in named if ":" in n):
        print(f"{name}: skipped, {why}")
    failed = results.failed()
    for line in failed:
        print(f"FAILED {line}")
    sys.exit(1 if failed or not languages else 0)


if __name__ == "__main__":
    main()
