"""A mail server that reports what it receives: smtp.py [--port N] [--tls starttls|implicit] [--user U --password P]
[--certificate signed|own|own-authority|expired|elsewhere].

Prints one JSON object per line: the port it listens on, then every mail it accepts and every command it rejects.
The start of the recipient's address selects how it treats a mail: refuse, content, later, hang.
"""

import argparse
import asyncio
import datetime
import email
import email.policy
import ipaddress
import json
import logging
import ssl
import sys
import tempfile
import warnings

from aiosmtpd.smtp import SMTP, AuthResult


def report(**event):
    print(json.dumps(event), flush=True)


def certificates(kind):
    """Create the certificate of the server; return the TLS context and the PEM of the certificate that vouches for it.

    It is signed by an authority of this run, or by itself: as that of no authority, or of one, which has expired or is
    for another host.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.timezone.utc) - (5 * day if kind == "expired" else 0 * day)

    def certificate(name, key, issuer, issuer_key, *extensions):
        names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)]) for n in (name, issuer)]
        builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - day)
        for extension in extensions:
            builder = builder.add_extension(extension, isinstance(extension, x509.BasicConstraints))
        return builder.not_valid_after(now + day).sign(issuer_key, hashes.SHA256())

    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    host = "192.0.2.1" if kind == "elsewhere" else "127.0.0.1"
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    of_authority = x509.BasicConstraints(ca=True, path_length=0)
    if kind == "signed":
        vouching = certificate("authority", root, "authority", root, of_authority)
        leaf = certificate("server", own, "authority", root, here)
    else:
        vouching = leaf = certificate("server", own, "server", own, here, *([] if kind == "own" else [of_authority]))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    with tempfile.NamedTemporaryFile() as file:
        file.write(own.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + leaf.public_bytes(pem))
        file.flush()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file.name)
    return context, vouching.public_bytes(pem).decode()


class Handler:
    def __init__(self):
        self.tried = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refuse"):
            report(refused=address)
            return "550 5.1.1 nobody of this name"
        if address.startswith("later") and address not in self.tried:
            self.tried.add(address)
            report(later=address)
            return "451 4.3.0 try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("hang"):
            report(hanging=envelope.rcpt_tos[0])
            await asyncio.Event().wait()
        if envelope.rcpt_tos[0].startswith("content"):
            return "554 5.6.0 not with these words"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
        report(
            sender=envelope.mail_from,
            to=envelope.rcpt_tos,
            headers={name.lower(): str(value) for name, value in message.items()},
            text=parts.get("text/plain"),
            html=parts.get("text/html"),
            type=message.get_content_type(),
            encrypted=session.ssl is not None or options.tls == "implicit",
            user=(session.auth_data or b"").decode(),
        )
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    if mechanism == "PLAIN" and (data.login, data.password) == (options.user.encode(), options.password.encode()):
        return AuthResult(success=True, auth_data=data.login)
    report(unknown=mechanism)
    return AuthResult(success=False, handled=False)


async def main():
    context, authority = certificates(options.certificate) if options.tls else (None, None)
    starttls = options.tls == "starttls"
    handler, loop = Handler(), asyncio.get_running_loop()

    def protocol():
        return SMTP(
            handler,
            enable_SMTPUTF8=True,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_required=bool(options.user),
            auth_require_tls=starttls,
            authenticator=authenticate if options.user else None,
            loop=loop,
        )

    implicit = context if options.tls == "implicit" else None
    server = await loop.create_server(protocol, "127.0.0.1", options.port, ssl=implicit)
    report(port=server.sockets[0].getsockname()[1], authority=authority)
    await server.serve_forever()


# Some tests have clients that reject the certificate; that is no error here.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
warnings.simplefilter("ignore")
parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--tls", choices=["starttls", "implicit"])
kinds = ["signed", "own", "own-authority", "expired", "elsewhere"]
parser.add_argument("--certificate", choices=kinds, default="signed")
parser.add_argument("--user", default="")
parser.add_argument("--password", default="")
options = parser.parse_args()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(0)
