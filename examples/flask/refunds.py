"""A page for those with a permission. Which permissions a user has is decided by roles, at Chancery."""

from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def refunds():
    if "orders.refund" not in request.headers.get("X-Chancery-Permissions", "").split():
        return "<title>Refunds</title><p>You may not refund orders.", 403
    return "<title>Refunds</title><p id=refunds>For clerks only."
