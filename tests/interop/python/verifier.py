"""Verifies access tokens with PyJWT: verifier.py JWKS_URL ISSUER AUDIENCE. Answers each JSON line with a JSON line."""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
from status_list import Keys, StatusError, StatusLists, StatusUnknown

url, issuer, audience = sys.argv[1:]
# By default an unknown `kid` causes a fetch at most every 30 seconds; the tests turn that limit off, and the key set
# may be due sooner.
keys = Keys(url, *json.loads(os.environ.get("KEYS_SECONDS", "[300, 600]")), cooldown=0)
lists = StatusLists(keys, issuer)


def verify(token):
    kind = jwt.get_unverified_header(token).get("typ")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") != "at+jwt":
        raise jwt.InvalidTokenError("typ is not at+jwt")
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["RS256", "ES256", "EdDSA"],
        issuer=issuer,
        audience=audience,
        leeway=float(os.environ.get("LEEWAY_SECONDS", "30")),
        options={"require": ["exp", "iat", "iss", "aud", "sub", "jti", "client_id"]},
    )


def answer(command):
    started = time.monotonic()
    try:
        claims = verify(command["token"])
        if command.get("status"):
            lists.check(claims)
        result = {"ok": True, "http": 200, "sub": claims["sub"]}
    except (StatusUnknown, jwt.PyJWKClientConnectionError) as error:
        result = {"ok": False, "http": 503, "error": f"{type(error).__name__}: {error}"}
    except (jwt.PyJWTError, StatusError) as error:
        result = {"ok": False, "http": 401, "error": f"{type(error).__name__}: {error}"}
    return {**result, "seconds": time.monotonic() - started}


def answers(command):
    """Check a token several times at once, if asked to."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(answer, [command] * command.get("times", 1)))


print(json.dumps({"library": "PyJWT", "version": jwt.__version__}), flush=True)
for line in sys.stdin:
    print(json.dumps(answers(json.loads(line))), flush=True)
