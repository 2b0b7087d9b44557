"""Certificates for rehearsals."""

import datetime
import ipaddress
import os
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """An authority whose certificate lies in a file, and that issues certificates for this machine."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self.sign("authority", self.key.public_key(), ca=True)
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))

    def sign(self, subject, public_key, ca):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("authority"))
        builder = builder.public_key(public_key).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        own = x509.SubjectKeyIdentifier.from_public_key(public_key)
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(own, critical=False).add_extension(above, critical=False)
        usage = {"digital_signature": True, "key_cert_sign": ca, "crl_sign": ca}
        rest = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        usage |= dict.fromkeys((*rest, "encipher_only", "decipher_only"), False)
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, cert, key):
        """Write or replace a certificate and its key, each at once."""
        own = ec.generate_private_key(ec.SECP256R1())
        signed = self.sign("server", own.public_key(), ca=False)
        plain = serialization.NoEncryption()
        texts = {
            key: own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
            cert: signed.public_bytes(serialization.Encoding.PEM),
        }
        for path, text in texts.items():
            pathlib.Path(f"{path}.new").write_bytes(text)
            os.replace(f"{path}.new", path)
        return signed.serial_number
