"""Plays a user's story over the network, with a client that knows only the server's address.

story.py GRPC HTTP MAIL_PORT: all messages are built from server reflection. A mail server in this process receives
mails on MAIL_PORT. The client `shop` registers users; the service `desk` administers and watches. The secret of
`desk` is read from standard input. Prints a line for each step; exits with 0 if every step succeeded.
"""

import base64
import json
import re
import sys
import threading
import urllib.request

import jwt
from aiosmtpd.controller import Controller
from client import TIMEOUT, MailServer, Server, expect_refusal, step

ADDRESS, HTTP, MAIL_PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
SECRET = sys.stdin.read().strip()
FIRST, SECOND = "a first phrase that is long", "another phrase that is long"


def claims(token, audience):
    keys = jwt.PyJWKSet.from_dict(json.load(urllib.request.urlopen(HTTP + "/.well-known/jwks.json")))
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.decode(token, keys[kid].key, algorithms=["RS256"], audience=audience)


def main():
    mails = MailServer()
    controller = Controller(mails, hostname="127.0.0.1", port=MAIL_PORT)
    controller.start()
    server = Server(ADDRESS)
    desk = "Basic " + base64.b64encode(f"desk:{SECRET}".encode()).decode()
    # Reflection describes the details of errors too, for programs such as grpcurl.
    for detail in ("ErrorInfo", "RetryInfo", "BadRequest", "PreconditionFailure", "ResourceInfo", "RequestInfo"):
        assert server.pool.FindMessageTypeByName("google.rpc." + detail)
    issuer = json.load(urllib.request.urlopen(HTTP + "/.well-known/oauth-authorization-server"))["issuer"]

    wanted = {"client_id": "shop", "email": "grace@example.com", "name": "grace", "password": FIRST}
    asked = server.call("AccountService/Register", wanted)
    to, text = mails.next("Confirm")
    code = re.search(r"^(\d{8})\s*$", text, re.M).group(1)
    assert to == "grace@example.com", to
    login = {"client_id": "shop", "login": "grace", "password": FIRST}
    expect_refusal("INVALID_CREDENTIALS", server.call, "AuthService/Login", login)
    proof = {"client_id": "shop", "ticket": asked["ticket"], "code": code}
    server.call("AccountService/VerifyEmail", proof)
    expect_refusal("CODE_INVALID", server.call, "AccountService/VerifyEmail", proof)
    step("registered, and verified with the code in the mail")

    laptop = server.call("AuthService/Login", {**login, "device_label": "laptop"})["tokens"]
    phone = server.call("AuthService/Login", {**login, "device_label": "phone", "audience": issuer})["tokens"]
    assert "roles" not in claims(laptop["access_token"], "shop-api")
    bearer = "Bearer " + phone["access_token"]
    sessions = server.call("AccountService/ListMySessions", {}, bearer)["sessions"]
    assert sorted(s["device_label"] for s in sessions) == ["laptop", "phone"], sessions
    assert [s["device_label"] for s in sessions if s.get("current")] == ["phone"]
    expect_refusal("TOKEN_INVALID", server.call, "AccountService/GetMe", {}, "Bearer " + laptop["access_token"])
    step("signed in on two devices")

    revoked, all_revoked = set(), threading.Event()

    def follow(stream):
        for message in stream:
            if message.HasField("revocation"):
                revoked.add(message.revocation.session_id)
            if {laptop["session_id"], phone["session_id"]} <= revoked:
                all_revoked.set()
                stream.cancel()
                return

    stream = server.watch("RevocationService/WatchRevocations", {}, desk)
    follower = threading.Thread(target=follow, args=(stream,), daemon=True)
    follower.start()

    forgotten = server.call("AccountService/RequestPasswordReset", {"client_id": "shop", "login": "grace@example.com"})
    nobody = server.call("AccountService/RequestPasswordReset", {"client_id": "shop", "login": "nobody@example.com"})
    assert set(forgotten) == set(nobody), (forgotten, nobody)
    _, text = mails.next("Reset your password")
    link = re.search(r"https://shop\.example/password_reset\?token=(\S+)", text)
    reset = {"client_id": "shop", "token": link.group(1), "new_password": SECOND}
    ended = server.call("AccountService/ResetPassword", reset)["sessions_ended"]
    assert ended == 2, ended
    expect_refusal("CODE_INVALID", server.call, "AccountService/ResetPassword", reset)
    assert all_revoked.wait(TIMEOUT), f"only these revocations arrived: {revoked}"
    for old in (laptop, phone):
        asked = {"client_id": "shop", "refresh_token": old["refresh_token"]}
        expect_refusal("SESSION_REVOKED", server.call, "AuthService/Refresh", asked)
    expect_refusal("TOKEN_INVALID", server.call, "AccountService/GetMe", {}, bearer)
    assert mails.next("password")[0] == "grace@example.com"
    expect_refusal("INVALID_CREDENTIALS", server.call, "AuthService/Login", login)
    step("reset the password: old sessions are revoked, and verifiers know it")

    tokens = server.call("AuthService/Login", {**login, "password": SECOND})["tokens"]
    role = {"role": {"name": "clerk", "permissions": ["orders.read@shop-api"]}}
    server.call("RoleService/CreateRole", role, desk)
    server.call("UserService/AssignUserRole", {"user_id": "grace", "role_id": "clerk"}, desk)
    asked = {"client_id": "shop", "refresh_token": tokens["refresh_token"], "request_id": "r-1"}
    claimed = claims(server.call("AuthService/Refresh", asked)["tokens"]["access_token"], "shop-api")
    assert (claimed["roles"], claimed["entitlements"]) == (["clerk"], ["orders.read"]), claimed
    step("assigned a role, which is in the next token")

    user = server.call("UserService/GetUser", {"user_id": "grace"}, desk)["user"]
    of_grace = {"filter": f'subject = "{user["subject"]}"', "page_size": 100}
    events = server.call("AuditService/ListAuditEvents", of_grace, desk)["events"]
    kinds = [e["kind"].removeprefix("AUDIT_EVENT_KIND_") for e in reversed(events)]
    want = ["USER_REGISTERED", "SIGNED_IN", "SIGNED_IN", "PASSWORD_SET", "SIGNED_IN", "ROLE_ASSIGNED"]
    assert [k for k in kinds if k != "SESSION_REVOKED"] == want, kinds
    assert kinds.count("SESSION_REVOKED") == 2, kinds
    assert {e["actor"] for e in events} == {user["subject"], "desk"}, events
    assert all(e["address"] == "127.0.0.1" for e in events), events
    step("found every event in the audit log")
    controller.stop()


main()
