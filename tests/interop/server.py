"""Runs a real server on an empty directory and uses it through the command line, gRPC and HTTP."""

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time

PASSWORD = "a long pass phrase for tests"
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
LOCAL = "127.0.0.1:0"
HOUR_MS = 3_600_000


def clean_environment():
    """Return the environment without settings for Chancery."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CHANCERY_")}


class Server:
    def __init__(self, binary, grpcurl):
        self.binary, self.grpcurl = binary, grpcurl
        self.dir = tempfile.mkdtemp(prefix="chancery-interop-")
        self.log, self.process, self.basic = None, None, None

    def start(self):
        self.log = open(os.path.join(self.dir, "log"), "ab")
        listeners = ["--grpc", LOCAL, "--telemetry", LOCAL, "--http", getattr(self, "http", LOCAL)]
        command = [self.binary, "serve", *listeners, "--data-dir", os.path.join(self.dir, "data")]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, env=clean_environment(), text=True
        )
        ready = self.process.stdout.readline()
        words = dict(word.split("=", 1) for word in ready.split() if "=" in word)
        if "grpc" not in words:
            raise SystemExit(f"interop: the server did not start: {ready!r}\n{self.read_log()}")
        self.grpc, self.http, self.issuer = words["grpc"], words["http"], words["issuer"]

    def read_log(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
        self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def age_next_keys(self):
        """Backdate the `next` keys by an hour instead of waiting: the server signs with a key only after publishing
        it for 21 minutes. Nothing else is changed; the server does the rotation."""
        database = sqlite3.connect(os.path.join(self.dir, "data", "chancery.db"))
        with database:
            aged = database.execute(
                "UPDATE signing_keys SET created_at = created_at - ? WHERE state = 'next'", (HOUR_MS,)
            )
        database.close()
        assert aged.rowcount == len(ALGORITHMS), aged.rowcount

    def command(self, *args, stdin=""):
        done = subprocess.run(
            [self.binary, *args, "--data-dir", os.path.join(self.dir, "data")],
            input=stdin, capture_output=True, text=True, env=clean_environment(), check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{args}: {done.stderr}")
        return done.stdout

    def call(self, method, request, *headers):
        flags = [flag for header in headers for flag in ("-H", header)]
        done = subprocess.run(
            [self.grpcurl, "-plaintext", *flags, "-d", "@", self.grpc, f"chancery.v1.{method}"],
            input=json.dumps(request), capture_output=True, text=True, check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{method}: {done.stderr}")
        return json.loads(done.stdout)

    def operate(self, method, request):
        return self.call(f"KeyService/{method}", request, f"authorization: Basic {self.basic}")

    def sign_in(self, client, audience=""):
        request = {"client_id": client, "login": "grace", "password": PASSWORD, "audience": audience}
        return self.call("AuthService/Login", request)["tokens"]

    def log_out(self, client, pair):
        self.call("AuthService/Logout", {"client_id": client, "refresh_token": pair["refreshToken"]})

    def keys(self, alg, state):
        """Return the `kid`s of an algorithm's keys in this state."""
        every = [json.loads(line) for line in self.command("keys", "list", "--json").splitlines()]
        wanted = ("SIGNATURE_ALGORITHM_" + alg.upper(), "SIGNING_KEY_STATE_" + state.upper())
        return [key["kid"] for key in every if (key.get("algorithm"), key.get("state")) == wanted]

    def wait_for_signing_key(self, alg, kid):
        end = time.monotonic() + 60
        while self.keys(alg, "active") != [kid]:
            if time.monotonic() > end:
                raise RuntimeError(f"{alg}: {kid} never began to sign")
            time.sleep(0.2)
