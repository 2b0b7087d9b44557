"""A small shop in FastAPI: pages that read the headers which the proxy sets, and an API that takes tokens.

    pip install -r examples/fastapi/requirements.txt
    uvicorn --app-dir examples/fastapi app:app --port 5000        # in one terminal
    cargo run -- serve --dev --app http://127.0.0.1:5000          # in another; then open http://localhost:8000
"""

import os
from dataclasses import dataclass
from html import escape
from typing import Annotated
from urllib.parse import unquote

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.security import HTTPBearer

app = FastAPI()


@dataclass
class User:
    id: str
    name: str
    permissions: list[str]


# Who it is. Each value is percent-encoded; a header without a value is empty.
def user(request: Request) -> User | None:
    header = lambda name: unquote(request.headers.get(f"x-chancery-{name}", ""))
    if not (subject := header("subject")):
        return None
    return User(subject, header("name") or subject, header("permissions").split())


Someone = Annotated[User | None, Depends(user)]


@app.get("/", response_class=HTMLResponse)
def home(user: Someone):
    if not user:
        return '<title>Shop</title><p id=who>Nobody is signed in.<p><a href="/sign-in/">Sign in</a>'
    return f'<title>Shop</title><p id=who>Hello {escape(user.name)}!<p><a href="/sign-out/">Sign out</a>'


@app.get("/sign-in/", response_class=HTMLResponse)
def members_only(user: Someone):
    if not user:
        return RedirectResponse("/auth/login?return_to=/sign-in/")
    return '<title>Members</title><p id=members>For members only.<p><a href="/">Home</a>'


@app.get("/refunds/", response_class=HTMLResponse)
def refunds(user: Someone):
    if not user or "orders.refund" not in user.permissions:
        return HTMLResponse("<title>Refunds</title><p>You may not refund orders.", status_code=403)
    return "<title>Refunds</title><p id=refunds>For clerks only."


@app.get("/sign-out/")
def sign_out():
    return RedirectResponse("/auth/logout?return_to=/")


# The API: who calls it without a browser brings a token, which is checked offline.
ISSUER = os.environ.get("ISSUER", "http://127.0.0.1:8080")
KEYS = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json", timeout=5)


def claims(credentials=Depends(HTTPBearer())) -> dict:
    try:
        key = KEYS.get_signing_key_from_jwt(credentials.credentials)
        return jwt.decode(credentials.credentials, key, algorithms=[key.algorithm_name], issuer=ISSUER, audience="demo-api",
                          options={"require": ["exp", "iat", "sub"]})
    except jwt.PyJWKClientConnectionError:
        raise HTTPException(503, headers={"Retry-After": "1"})
    except jwt.PyJWTError:
        raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


@app.get("/api/orders")
def orders(claims: Annotated[dict, Depends(claims)]):
    return {"subject": claims["sub"], "orders": ["tea", "biscuits"]}
