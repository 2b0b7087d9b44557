"""The issuer's keys, and its status lists, which refuse access tokens of revoked sessions and disabled clients."""

import base64
import contextlib
import json
import threading
import time
import urllib.request
import zlib
from types import SimpleNamespace

import jwt

MAX_BYTES, TIMEOUT, UNUSED = 16 * 1024 * 1024, 5, 600
KEYS_TIMEOUT, KEYS_PAUSE = 2, 2


class StatusError(Exception):
    """The token is revoked, or has no status: answer 401."""


class StatusUnknown(Exception):
    """The issuer has not answered for too long to know: answer 503."""


def read(url: str, accept: str, timeout: float) -> str:
    """Read at most about 16 MiB, for about `timeout` seconds."""
    ends_at, body = time.monotonic() + timeout, bytearray()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=timeout) as response:
        while (part := response.read1()) and len(body) < MAX_BYTES and time.monotonic() < ends_at:
            body += part
    return body.decode()


class Keys(jwt.PyJWKClient):
    """The issuer's key set: fetched again after `fresh` seconds, in the background, and used for `usable` seconds.
    Raises PyJWKClientConnectionError if the issuer has not answered: answer 503."""

    def __init__(self, url: str, fresh: float = 300, usable: float = 600, cooldown: float = 30):
        super().__init__(url, lifespan=usable, cooldown_duration=cooldown)
        self.fresh, self.refresh_at, self.retry_at, self.one = fresh, 0, 0, threading.Lock()

    def get_signing_key(self, kid: str) -> jwt.PyJWK:
        cached, key = self.jwk_set_cache.get(), None
        if cached:  # Nobody waits for the fetch that somebody else needs.
            key = self.match_kid(self._get_signing_keys_from_jwk_set(cached), kid)
            with self.one:
                if old := time.monotonic() >= self.refresh_at:
                    self.refresh_at = time.monotonic() + KEYS_TIMEOUT + KEYS_PAUSE
            if old:
                threading.Thread(target=self.refresh, daemon=True).start()
        key = key or super().get_signing_key(kid)
        if key._jwk_data.get("foreign"):
            raise jwt.InvalidKeyError("signed by a key of another issuer")
        return key

    def refresh(self) -> None:
        with contextlib.suppress(jwt.PyJWTError):
            self.get_jwk_set(refresh=True)

    def fetch_data(self) -> dict:
        if time.monotonic() < self.retry_at:  # Those who waited for a fetch that failed do not wait for another.
            raise jwt.PyJWKClientConnectionError("no key set: the last fetch has just failed")
        try:
            data = json.loads(read(self.uri, "application/jwk-set+json", KEYS_TIMEOUT))
            jwt.PyJWKSet.from_dict(data)
        except Exception as error:
            self.retry_at = time.monotonic() + KEYS_PAUSE
            raise jwt.PyJWKClientConnectionError(f"no key set: {error}") from error
        self._last_successful_fetch = time.monotonic()
        self.refresh_at = self._last_successful_fetch + self.fresh
        return data


class StatusLists:
    def __init__(self, keys: jwt.PyJWKClient, issuer: str):
        """`keys` is the key set that verifies access tokens."""
        self.keys, self.prefix = keys, issuer.rstrip("/") + "/statuslists/"
        self.lists, self.changed = {}, threading.Condition()

    def check(self, claims: dict) -> None:
        """Take the claims of a verified token; raise StatusError or StatusUnknown unless its status is 0."""
        reference = (claims.get("status") or {}).get("status_list") or {}
        idx, uri = reference.get("idx"), reference.get("uri")
        if not isinstance(idx, int) or not isinstance(uri, str) or not uri.startswith(self.prefix):
            raise StatusError("the token names no list of the issuer")
        current = self.current(uri)
        if not 0 <= idx < len(current.data) * 8 // current.bits:
            raise StatusError("the list has no such index")
        if value := current.data[idx * current.bits // 8] >> idx * current.bits % 8 & (1 << current.bits) - 1:
            raise StatusError(f"status {value}")

    def current(self, uri: str) -> SimpleNamespace:
        with self.changed:  # Not held during a fetch.
            entry = self.lists.get(uri)
            if entry is None or not entry.thread.is_alive():  # Threads do not survive a fork.
                entry = self.lists[uri] = SimpleNamespace(error=None, used_at=time.monotonic(), stale_at=0, exp=0, iat=0)
                entry.thread = threading.Thread(target=self.follow, args=(uri, entry), daemon=True)
                entry.thread.start()
            entry.used_at = time.monotonic()
            # All wait for the same fetch, but for none after one has failed: the last list counts until its `exp`.
            if not self.changed.wait_for(lambda: entry.error or time.monotonic() < entry.stale_at, TIMEOUT):
                entry.error = "no answer"
            if time.time() >= entry.exp:
                raise StatusUnknown(f"status unknown: {entry.error!r}")
            return SimpleNamespace(bits=entry.bits, data=entry.data)

    def follow(self, uri: str, entry: SimpleNamespace) -> None:
        """Keep a list fresh until no token has named it for a while."""
        while time.monotonic() < entry.used_at + UNUSED:
            try:
                new = self.fetch(uri, entry.iat)
            except Exception as error:
                new = {"error": error, "pause": 2}
            with self.changed:
                vars(entry).update(new)
                self.changed.notify_all()
            time.sleep(entry.pause)

    def fetch(self, uri: str, iat: int) -> dict:
        asked_at, needed = time.monotonic(), ["sub", "iat", "exp", "ttl", "status_list"]
        token = read(uri, "application/statuslist+jwt", TIMEOUT)
        if jwt.get_unverified_header(token).get("typ") != "statuslist+jwt":
            raise ValueError("not a status list")
        key, options = self.keys.get_signing_key_from_jwt(token), {"require": needed, "verify_iat": False}
        claims = jwt.decode(token, key, ["RS256", "ES256", "EdDSA"], options, subject=uri)
        bits, lst, stream = claims["status_list"]["bits"], claims["status_list"]["lst"], zlib.decompressobj()
        data = stream.decompress(base64.b64decode(lst + "=" * (-len(lst) % 4), b"-_", True), MAX_BYTES)
        if bits not in (1, 2, 4, 8) or "=" in lst or not stream.eof or stream.unused_data or claims["iat"] < iat:
            raise ValueError("the list is malformed, too long or older than the last one")
        left, new = min(claims["ttl"], claims["exp"] - time.time()), {"bits": bits, "data": data, "error": None}
        new.update(iat=claims["iat"], exp=claims["exp"], stale_at=asked_at + left)
        return {**new, "pause": min(max(left / 2, 1), 3600)}
