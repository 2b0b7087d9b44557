"""Recognises a returning visitor, signed in or not. The id says "seen before" and nothing else: it authorizes nothing."""

from collections import Counter

from flask import Flask, redirect, request

app = Flask(__name__)
visits = Counter()  # a table, in earnest


@app.get("/")
def visit():
    visitor = request.headers.get("X-Chancery-Visitor")
    if not visitor and "asked" in request.args:
        return "<title>Visits</title><p>Your browser keeps no cookies, so nobody can know you here."
    if not visitor:
        return redirect("/auth/visitor?return_to=/visits/?asked")
    visits[visitor] += 1
    return f"<title>Visits</title><p>This is your <b id=visits>{visits[visitor]}.</b> visit."
