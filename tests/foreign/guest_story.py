"""Plays the story of a guest who becomes a user, with a client that knows only the server's address.

guest_story.py GRPC HTTP MAIL_PORT: all messages are built from server reflection. A mail server in this process
receives mails on MAIL_PORT. The client `shop` opens sessions for guests and registers users. Prints a line for each
step; exits with 0 if every step succeeded.
"""

import base64
import hmac
import json
import re
import struct
import sys
import time
import urllib.request

import jwt
from aiosmtpd.controller import Controller
from client import MailServer, Server, expect_refusal, step

ADDRESS, HTTP, MAIL_PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
PASSWORD = "a first phrase that is long"
SHOP = {"client_id": "shop"}
CART = {"owner": "USER", "namespace": "cart"}


def totp(secret, offset):
    """The code of RFC 6238 for now and so many steps of 30 seconds later."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + offset), "sha1").digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06}"


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


class Shop:
    """The application `shop`, which talks to the server for its guests and users."""

    def __init__(self):
        self.server = Server(ADDRESS)
        self.issuer = json.load(urllib.request.urlopen(HTTP + "/.well-known/oauth-authorization-server"))["issuer"]
        self.call = self.server.call

    def guest(self):
        return self.call("AuthService/StartGuestSession", {**SHOP, "audience": self.issuer})["tokens"]

    def cart(self, tokens, owner="USER"):
        asked = {**CART, "owner": owner}
        return self.call("SessionDataService/GetSessionData", asked, bearer(tokens))["value"]

    def put(self, tokens, value):
        self.call("SessionDataService/PutSessionData", {**CART, "value": value}, bearer(tokens))

    def begins(self, name="grace"):
        """The first step of a sign-in."""
        asked = {**SHOP, "login": name, "password": PASSWORD, "audience": self.issuer}
        return self.call("AuthService/Login", asked)

    def goes_on(self, answer, **proof):
        asked = {**SHOP, "challenge": answer["challenge"]["challenge"], **proof}
        return self.call("AuthService/ContinueLogin", asked)

    def upgrades(self, guest, **rest):
        asked = {**SHOP, "guest_refresh_token": guest["refresh_token"], "login": "grace", "password": PASSWORD}
        return self.call("AuthService/UpgradeGuest", {**asked, "audience": self.issuer, **rest})


def bearer(tokens):
    return "Bearer " + tokens["access_token"]


def register(shop, mails, guest):
    wanted = {**SHOP, "email": "grace@example.com", "name": "grace", "password": PASSWORD}
    asked = shop.call("AccountService/Register", {**wanted, "guest_refresh_token": guest["refresh_token"]})
    code = re.search(r"^(\d{8})\s*$", mails.next("Confirm")[1], re.M).group(1)
    shop.call("AccountService/VerifyEmail", {**SHOP, "ticket": asked["ticket"], "code": code})


def main():
    mails = MailServer()
    Controller(mails, hostname="127.0.0.1", port=MAIL_PORT).start()
    shop = Shop()

    guest = shop.guest()
    said = claims(guest["access_token"])
    assert said["acr"] == "0" and not said.get("roles"), said
    shop.put(guest, ["quill", "ink"])
    expect_refusal("GUEST_NOT_ALLOWED", shop.call, "AccountService/GetMe", {}, bearer(guest))
    step("a guest has a cart, and no account")

    register(shop, mails, guest)
    user = shop.upgrades(guest)["tokens"]
    now = claims(user["access_token"])
    assert now["sub"] == said["sub"] and now["sid"] != said["sid"] and now["acr"] == "1", (said, now)
    assert shop.cart(user) == ["quill", "ink"]
    stolen = {**SHOP, "refresh_token": guest["refresh_token"]}
    expect_refusal("SESSION_REVOKED", shop.call, "AuthService/Refresh", stolen)
    expect_refusal("TOKEN_INVALID", shop.call, "SessionDataService/GetSessionData", CART, bearer(guest))
    step("registered, and the cart is kept; the guest's tokens are worth nothing any more")

    begun = shop.call("AccountService/EnrollTotp", {"name": "phone"}, bearer(user))
    proof = {"enrolment": begun["enrolment"], "code": totp(begun["secret"], -1)}
    codes = shop.call("AccountService/ConfirmTotp", proof, bearer(user))["recovery_codes"]
    assert len(codes) == 10 and len(set(codes)) == 10, codes
    assert mails.next("second sign-in step")[0] == "grace@example.com"
    step("an authenticator app is set up")

    answer = shop.begins()
    assert answer["challenge"]["kind"] == "KIND_MFA" and "tokens" not in answer, answer
    second = shop.goes_on(answer, code=totp(begun["secret"], 0))["tokens"]
    said = claims(second["access_token"])
    assert said["acr"] == "2" and {"pwd", "otp", "mfa"} <= set(said["amr"]), said
    assert shop.cart(second) == ["quill", "ink"]
    step("a second device signs in with two factors, and finds the cart")

    for policy, proof, account, session in [
        ("GUEST_DATA_POLICY_KEEP_GUEST", {"code": totp(begun["secret"], 1)}, ["wax"], None),
        ("GUEST_DATA_POLICY_KEEP_ACCOUNT", {"recovery_code": codes[0]}, ["quill"], None),
        ("GUEST_DATA_POLICY_RETURN_BOTH", {"recovery_code": codes[1]}, ["quill"], ["wax"]),
    ]:
        shop.put(second, ["quill"])
        guest = shop.guest()
        shop.put(guest, ["wax"])
        joined = shop.goes_on(shop.upgrades(guest, default_policy=policy), **proof)["tokens"]
        assert shop.cart(joined) == account, (policy, shop.cart(joined))
        if session:
            assert shop.cart(joined, "SESSION") == session, shop.cart(joined, "SESSION")
    step("a guest's cart joins the account's under each policy")

    for used in (codes[0], codes[0].lower().replace("-", "")):
        expect_refusal("CODE_INVALID", lambda code: shop.goes_on(shop.begins(), recovery_code=code), used)
    left = shop.call("AccountService/ListMyFactors", {}, bearer(joined))
    assert left["recovery_codes_left"] == 8 and [f["name"] for f in left["factors"]] == ["phone"], left
    step("a recovery code works once")


main()
