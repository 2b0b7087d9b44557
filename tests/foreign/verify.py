"""Verifies a token from standard input with PyJWT: verify.py JWKS_URL ISSUER AUDIENCE."""

import json
import sys

import jwt

url, issuer, audience = sys.argv[1:]
token = sys.stdin.read().strip()
try:
    key = jwt.PyJWKClient(url).get_signing_key_from_jwt(token)
    claims = jwt.decode(
        token,
        key,
        algorithms=["RS256", "ES256", "EdDSA"],
        issuer=issuer,
        audience=audience,
        options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
    )
except jwt.PyJWTError as error:
    print(json.dumps({"ok": False, "error": type(error).__name__}))
    sys.exit(1)
print(json.dumps({"ok": True, "sub": claims["sub"], "alg": jwt.get_unverified_header(token)["alg"]}))
