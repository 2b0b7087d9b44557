"""Says who is signed in. The proxy sets these headers on every request, and takes away a caller's own."""

from urllib.parse import unquote

from flask import Flask, request
from markupsafe import escape

app = Flask(__name__)


@app.get("/")
def who():
    if not request.headers.get("X-Chancery-Subject"):
        return '<title>Shop</title><p id=who>Nobody is signed in.<p><a href="/sign-in/">Sign in</a>'
    name = unquote(request.headers.get("X-Chancery-Name") or request.headers["X-Chancery-Subject"])
    return f'<title>Shop</title><p id=who>Hello {escape(name)}!<p><a href="/sign-out/">Sign out</a>'
