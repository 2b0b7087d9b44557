"""Refuses access tokens of revoked sessions and disabled clients, using the issuer's token status lists."""

import base64
import threading
import time
import urllib.request
import zlib

import jwt

MAX_BYTES = 16 * 1024 * 1024


class StatusError(Exception):
    """The token must be refused."""


class StatusLists:
    def __init__(self, keys: jwt.PyJWKClient, issuer: str):
        """`keys` is the key set that verifies access tokens."""
        self.keys, self.prefix = keys, issuer.rstrip("/") + "/statuslists/"
        self.cached, self.lock = {}, threading.Lock()

    def check(self, claims: dict) -> None:
        """Take the claims of a verified token; raise StatusError unless its status is 0."""
        try:
            reference = claims["status"]["status_list"]
            value = self.value(reference["idx"], reference["uri"])
        except Exception as error:  # A token whose status is unknown is refused.
            raise StatusError(f"status unknown: {error!r}") from error
        if value != 0:
            raise StatusError(f"status {value}")

    def value(self, idx: int, uri: str) -> int:
        if not uri.startswith(self.prefix):
            raise ValueError("the list is not the issuer's")
        with self.lock:  # Concurrent checks wait for the same fetch.
            if uri not in self.cached or time.monotonic() >= self.cached[uri][0]:
                self.cached[uri] = self.fetch(uri)
            _, bits, data = self.cached[uri]
        if not 0 <= idx < len(data) * 8 // bits:
            raise ValueError("the list has no such index")
        return data[idx * bits // 8] >> idx * bits % 8 & (1 << bits) - 1

    def fetch(self, uri: str) -> tuple:
        requested_at, headers = time.monotonic(), {"Accept": "application/statuslist+jwt"}
        with urllib.request.urlopen(urllib.request.Request(uri, headers=headers), timeout=5) as response:
            token = response.read(MAX_BYTES).decode("ascii")
        if jwt.get_unverified_header(token).get("typ") != "statuslist+jwt":
            raise ValueError("not a status list")
        key, needed = self.keys.get_signing_key_from_jwt(token), {"require": ["sub", "exp", "ttl", "status_list"]}
        claims = jwt.decode(token, key, ["RS256", "ES256", "EdDSA"], needed, subject=uri)
        bits, lst, stream = claims["status_list"]["bits"], claims["status_list"]["lst"], zlib.decompressobj()
        data = stream.decompress(base64.b64decode(lst + "=" * (-len(lst) % 4), b"-_", True), MAX_BYTES)
        if bits not in (1, 2, 4, 8) or "=" in lst or not stream.eof or stream.unused_data:
            raise ValueError("the list is malformed or too long")
        return requested_at + min(claims["ttl"], claims["exp"] - time.time()), bits, data
