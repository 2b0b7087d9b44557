"""Verifies access tokens with PyJWT: verifier.py JWKS_URL ISSUER AUDIENCE. Answers each JSON line with a JSON line."""

import json
import sys

import jwt
from status_list import StatusError, StatusLists

url, issuer, audience = sys.argv[1:]
# By default an unknown `kid` causes a fetch at most every 30 seconds; the tests turn that limit off.
keys = jwt.PyJWKClient(url, lifespan=300, timeout=5, cooldown_duration=0)
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
        leeway=0,
        options={"require": ["exp", "iat", "iss", "aud", "sub", "jti", "client_id"]},
    )


def answer(command):
    try:
        claims = verify(command["token"])
        if command.get("status"):
            lists.check(claims)
        return {"ok": True, "sub": claims["sub"]}
    except (jwt.PyJWTError, StatusError) as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


print(json.dumps({"library": "PyJWT", "version": jwt.__version__}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
