"""Signs out. The page that asks, and the form that does it, are Chancery's: a mere link must not sign anybody out."""

from flask import Flask, redirect

app = Flask(__name__)


@app.get("/")
def sign_out():
    return redirect("/auth/logout?return_to=/")
