"""A page for those who are signed in. Everybody else signs in first, and comes back to it."""

from flask import Flask, redirect, request

app = Flask(__name__)


@app.get("/")
def members_only():
    if not request.headers.get("X-Chancery-Subject"):
        return redirect("/auth/login?return_to=/sign-in/")
    return '<title>Members</title><p id=members>For members only.<p><a href="/">Home</a>'
