"""A certification authority for one run, and the relay's certificate."""

import datetime
import ipaddress
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from world import RELAY, RELAY6

# The relay's name; no resolver knows it.
HOST = "relay.example.org"


class Certificates(AbstractContextManager):
    """PEM files, as long as the `with` block runs: of the authority, and of the relay with its key."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="veilturn-")
        files = Path(self._directory.name)
        self.authority, self.chain, self.key = (files / name for name in ("ca.pem", "chain.pem", "key.pem"))
        authority = ec.generate_private_key(ec.SECP256R1())
        relay = ec.generate_private_key(ec.SECP256R1())
        issuer = _pem(_authority(authority))
        self.authority.write_bytes(issuer)
        self.chain.write_bytes(_pem(_relay(relay, authority)) + issuer)
        self.key.touch(mode=0o600)
        self.key.write_bytes(
            relay.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    may = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _builder(key, "authority of the tests")
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(may, critical=True)
        .sign(key, hashes.SHA256())
    )


def _relay(key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in (RELAY, RELAY6)]
    names = x509.SubjectAlternativeName([x509.DNSName(HOST), *addresses])
    return (
        _builder(key, HOST)
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(issuer, hashes.SHA256())
    )


def _builder(key: ec.EllipticCurvePrivateKey, name: str) -> x509.CertificateBuilder:
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("authority of the tests"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=7))
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
