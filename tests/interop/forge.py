"""An issuer that serves status lists with every defect a verifier must refuse. It implements RS256 itself, so that it
needs only Python, and generates its keys, so that none are kept in the repository."""

import base64
import hashlib
import http.server
import json
import secrets
import threading
import time
import zlib

TYPE = "application/statuslist+jwt"
# The examples from draft-ietf-oauth-status-list §4.
ONE_BIT, TWO_BITS = "eNrbuRgAAhcBXQ", "eNo76fITAAPfAgc"
# Answers that never end: the bytes of a part, and the pause before the next.
ENDLESS = {"/statuslists/flood": (1 << 18, 0), "/statuslists/drip": (1, 0.5)}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def packed(data):
    return b64(zlib.compress(data, 9))


def is_prime(n):
    """Miller-Rabin with 20 rounds."""
    if any(n % p == 0 for p in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)):
        return False
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(20):
        x = pow(2 + secrets.randbelow(n - 3), odd, n)
        if x not in (1, n - 1) and not any((x := x * x % n) == n - 1 for _ in range(twos - 1)):
            return False
    return True


def prime(bits):
    """Generate a prime whose two highest bits are set, so that the product of two has exactly twice the bits."""
    while True:
        n = secrets.randbits(bits) | 3 << bits - 2 | 1
        if n % 65537 != 1 and is_prime(n):
            return n


class Key:
    def __init__(self, kid):
        p, q = prime(1024), prime(1024)
        self.kid, self.n, self.d = kid, p * q, pow(65537, -1, (p - 1) * (q - 1))

    def jwk(self):
        public = {"n": b64(self.n.to_bytes(256, "big")), "e": "AQAB"}
        return {"kty": "RSA", "kid": self.kid, "alg": "RS256", "use": "sig", **public}

    def sign(self, typ, claims):
        header = {"typ": typ, "alg": "RS256", "kid": self.kid}
        text = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
        info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text.encode()).digest()
        block = b"\0\1" + b"\xff" * (253 - len(info)) + b"\0" + info
        return text + "." + b64(pow(int.from_bytes(block, "big"), self.d, self.n).to_bytes(256, "big"))


class Issuer:
    """Serves a key set and the published lists."""

    def __init__(self, audience):
        self.key, self.stranger, self.foreign, self.audience = Key("ours"), Key("nobody's"), Key("theirs"), audience
        self.lists, self.requested_paths, outer = {}, [], self
        self.thawed = threading.Event()
        self.thawed.set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.thawed.wait()
                # A key of an unknown type must not invalidate the set (RFC 7517 §5).
                unknown = {"kty": "XYZ", "kid": "unknown", "use": "sig"}
                keys = {"keys": [outer.key.jwk(), unknown, {**outer.foreign.jwk(), "foreign": True}]}
                if self.path == "/jwks.json":
                    return self.answer(200, json.dumps(keys))
                outer.requested_paths.append(self.path)
                if self.path in ENDLESS:
                    return self.answer_without_end(*ENDLESS[self.path])
                status, body = outer.lists.get(self.path, (404, ""))
                expected = self.headers["accept"] == TYPE
                return self.answer(status, body) if expected else self.answer(406, "")

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("content-type", TYPE)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def answer_without_end(self, size, pause):
                self.close_connection = True
                self.send_response(200)
                self.send_header("content-type", TYPE)
                self.end_headers()
                for _ in range(1024):
                    self.wfile.write(b"A" * size)
                    time.sleep(pause)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """Say nothing: verifiers hang up on answers that they will not read."""

        self.http = Server(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self.http.server_address[1]}"
        self.url = f"http://{self.host}"

    def freeze(self):
        """Accept connections, and answer none."""
        self.thawed.clear()

    def thaw(self):
        self.thawed.set()

    def uri(self, name):
        return f"{self.url}/statuslists/{name}"

    def token(self, status, key=None):
        now = int(time.time())
        claims = {"iss": self.url, "sub": "grace", "aud": self.audience, "iat": now, "exp": now + 600}
        claims.update(client_id="app", jti=secrets.token_hex(8), scope="")
        if status is not None:
            claims["status"] = status
        return (key or self.key).sign("at+jwt", claims)

    def claims(self, uri, **changes):
        """Return a list's claims; a change to None removes the claim."""
        now = int(time.time())
        claims = {"sub": uri, "iat": now, "exp": now + 120, "ttl": 15, "status_list": {"bits": 1, "lst": ONE_BIT}}
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def publish(self, name, key=None, typ="statuslist+jwt", **changes):
        claims = self.claims(changes.pop("sub", self.uri(name)), **changes)
        self.lists[f"/statuslists/{name}"] = (200, (key or self.key).sign(typ, claims))

    def at(self, name, idx):
        """Return a token that refers to this index of a list."""
        return self.token({"status_list": {"idx": idx, "uri": self.uri(name)}})

    def count(self, path):
        return self.requested_paths.count(path)


def good_lists(issuer):
    """Yield name, token and expected status for good lists."""
    data = bytes([0x00, 0x12, 0xF0])
    issuer.publish("one")
    issuer.publish("two", status_list={"bits": 2, "lst": TWO_BITS})
    issuer.publish("four", status_list={"bits": 4, "lst": packed(data)})
    issuer.publish("eight", status_list={"bits": 8, "lst": packed(data)})
    issuer.publish("large", status_list={"bits": 1, "lst": packed(bytes(1 << 20) + b"\x80")})
    expected = {
        "one": [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1],
        "two": [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3],
        "four": [0, 0, 2, 1, 0, 15],
        "eight": [0, 18, 240],
    }
    for name, values in expected.items():
        for idx, value in enumerate(values):
            yield f"{name}[{idx}]", issuer.at(name, idx), value
    for idx, value in ((0, 0), (8 * (1 << 20) + 6, 0), (8 * (1 << 20) + 7, 1)):
        yield f"large[{idx}]", issuer.at("large", idx), value


def bad_references(issuer):
    """Yield references that must be refused although they lead to a good list: name, token, path not to fetch."""
    issuer.publish("right", status_list={"bits": 1, "lst": packed(bytes(2))})
    for idx in (-1, 16, 1 << 40, "1", None):
        yield f"index {idx!r}", issuer.at("right", idx), None
    yield "no status", issuer.token(None), None
    yield "no list", issuer.token({}), None
    elsewhere = f"{issuer.url}/elsewhere/1"
    outside = issuer.url.replace("127.0.0.1", "localhost") + "/statuslists/outside"
    for uri in (elsewhere, outside):
        path = "/" + uri.split("/", 3)[3]
        issuer.lists[path] = (200, issuer.key.sign("statuslist+jwt", issuer.claims(uri)))
        yield f"list at {path}", issuer.token({"status_list": {"idx": 1, "uri": uri}}), path


def bad_lists(issuer):
    """Yield bad lists, each with status 0 at the index: name, token."""
    right = {"bits": 1, "lst": ONE_BIT}
    stream, uneven = zlib.compress(bytes(4)), zlib.compress(bytes([0, 1, 2]))
    now = int(time.time())
    wrong = {
        "another type": {"typ": "JWT"},
        "an access token's type": {"typ": "at+jwt"},
        "another subject": {"sub": issuer.uri("one")},
        "expired": {"iat": now - 60, "exp": now - 1},
        "without exp": {"exp": None},
        "without sub": {"sub": None},
        "without a list": {"status_list": None},
        "a stranger's key": {"key": issuer.stranger},
        "three bits": {"status_list": {**right, "bits": 3}},
        "no bits": {"status_list": {**right, "bits": 0}},
        "17 MiB": {"status_list": {"bits": 1, "lst": packed(bytes(17 << 20))}},
        "64 MiB": {"status_list": {"bits": 8, "lst": packed(bytes(64 << 20))}},
        "something after the stream": {"status_list": {"bits": 1, "lst": b64(stream + b"\0")}},
        "a stream cut off": {"status_list": {"bits": 1, "lst": b64(stream[:-1])}},
        "a wrong checksum": {"status_list": {"bits": 1, "lst": b64(stream[:-1] + b"\xff")}},
        "no zlib": {"status_list": {"bits": 1, "lst": b64(bytes(8))}},
        "padding": {"status_list": {"bits": 1, "lst": base64.urlsafe_b64encode(uneven).decode()}},
    }
    assert wrong["padding"]["status_list"]["lst"].endswith("="), "the example has no padding"
    for number, (name, changes) in enumerate(wrong.items()):
        issuer.publish(f"bad-{number}", **changes)
        yield name, issuer.at(f"bad-{number}", 1)
    issuer.publish("broken")
    status, body = issuer.lists["/statuslists/broken"]
    issuer.lists["/statuslists/broken"] = (status, body[:-8] + ("AAAAAAAA" if body[-8:] != "AAAAAAAA" else "BBBBBBBB"))
    yield "a broken signature", issuer.at("broken", 1)
    unsigned = f'{b64(json.dumps({"typ": "statuslist+jwt", "alg": "none"}).encode())}.{body.split(".")[1]}.'
    issuer.lists["/statuslists/unsigned"] = (200, unsigned)
    yield "no signature", issuer.at("unsigned", 1)
    yield "no such list", issuer.at("missing", 1)
    yield "an answer without end", issuer.at("flood", 1)
    yield "an answer that takes for ever", issuer.at("drip", 1)
    issuer.lists["/statuslists/failing"] = (503, "try again")
    yield "a failing server", issuer.at("failing", 1)
