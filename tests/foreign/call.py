# Calls by JSON with nothing but Python's own library: call.py PERSON, where PERSON is JSON.
import http.client
import json
import sys
from urllib.parse import urlsplit

person = json.loads(sys.argv[1])
connection = http.client.HTTPConnection(urlsplit(person["issuer"]).netloc, timeout=30)


def call(method, message, **headers):
    path, body = f"/chancery.v1.{method}", json.dumps(message)
    connection.request("POST", path, body, {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


login = {name: person[name] for name in ("clientId", "login", "password", "audience")}
tokens = call("AuthService/Login", login)[1]["tokens"]
bearer = {"authorization": f"Bearer {tokens['accessToken']}"}
sessions = call("AccountService/ListMySessions", {}, **bearer)[1]["sessions"]
status, wrong = call("AuthService/Login", {**login, "password": "a wrong pass phrase"})
reasons = [detail["debug"]["reason"] for detail in wrong["details"] if detail["type"] == "google.rpc.ErrorInfo"]
print(json.dumps({"type": tokens["tokenType"], "sessions": len(sessions), "refused": [status, *reasons]}))
