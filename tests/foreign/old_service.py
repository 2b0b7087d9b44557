"""Plays an old service to migrate from: writes its public key, its users and ada's token to the working directory."""

import base64
import datetime
import hashlib
import json
import os

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def b64(data):
    return base64.b64encode(data).decode().rstrip("=")


def pbkdf2(password):
    salt = os.urandom(16)
    hashed = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1000)
    return f"$pbkdf2-sha256$i=1000${b64(salt)}${b64(hashed)}"


def scrypt(password):
    salt = os.urandom(16)
    hashed = hashlib.scrypt(password.encode(), salt=salt, n=1 << 10, r=8, p=1, dklen=32)
    return f"$scrypt$ln=10,r=8,p=1${b64(salt)}${b64(hashed)}"


key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
with open("old-public.pem", "wb") as file:
    file.write(public)
with open("users.jsonl", "w") as file:
    for user in [
        {"subject": "42", "name": "ada", "email": "ada@example.com", "password_hash": pbkdf2("the phrase ada has had")},
        {"subject": "43", "name": "grace", "password_hash": scrypt("grace's own, for years")},
        {"subject": "44", "email": "heidi@example.com", "attributes": {"team": "x"}},
    ]:
        print(json.dumps(user), file=file)
ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=8)
claims = {"iss": "https://old.example.com", "aud": "shop-api", "sub": "42", "exp": ends}
with open("old.token", "w") as file:
    file.write(jwt.encode(claims, key, algorithm="RS256", headers={"kid": "old-2019"}))
