"""Holds `veilturn check` against certificates and keys of OpenSSL's making: every form in which an operator may have
them is taken, and what cannot be served is refused for its own reason.

Called with the path of the binary.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

CONFIGURATION = """realm = "relay.test"
[[listen]]
addr = "127.0.0.1:443"
transport = "tls"
[[tls.certificate]]
chain_file = "chain.pem"
key_file = "key.pem"
[relay]
ipv4 = { bind = "127.0.0.1", advertise = "127.0.0.1" }
[[auth.secret]]
id = "a"
value = "Zk3vQ8r1TnJ0wXy5uB7cLd2eGh4sMp6a"
"""

# How a key is made, how it is written, and what is said about it; nothing where it is taken.
RSA = ["genpkey", "-algorithm", "RSA", "-pkeyopt"]
EC = ["genpkey", "-algorithm", "EC", "-pkeyopt"]
CASES = {
    "RSA 2048, PKCS#8": ([*RSA, "rsa_keygen_bits:2048"], ["pkey"], None),
    "RSA 2048, PKCS#1": ([*RSA, "rsa_keygen_bits:2048"], ["rsa", "-traditional"], None),
    "RSA 4096, PKCS#8": ([*RSA, "rsa_keygen_bits:4096"], ["pkey"], None),
    "P-256, PKCS#8": ([*EC, "ec_paramgen_curve:P-256"], ["pkey"], None),
    "P-256, SEC1": ([*EC, "ec_paramgen_curve:P-256"], ["ec"], None),
    "P-384, SEC1": ([*EC, "ec_paramgen_curve:P-384"], ["ec"], None),
    "Ed25519": (["genpkey", "-algorithm", "ED25519"], ["pkey"], None),
    "RSA 1024": ([*RSA, "rsa_keygen_bits:1024"], ["pkey"], "has 1024 bits"),
    "P-521": ([*EC, "ec_paramgen_curve:P-521"], ["pkey"], "of no kind that can be used"),
    "RSA, encrypted PKCS#8": (
        [*RSA, "rsa_keygen_bits:2048"],
        ["pkey", "-aes256", "-passout", "pass:x"],
        "is encrypted",
    ),
    "RSA, encrypted PKCS#1": (
        [*RSA, "rsa_keygen_bits:2048"],
        ["rsa", "-traditional", "-aes256", "-passout", "pass:x"],
        "is encrypted",
    ),
    "RSA, DER": ([*RSA, "rsa_keygen_bits:2048"], ["pkey", "-outform", "DER"], "not UTF-8 text"),
}


def main(binary: str) -> None:
    for name, (make, write, expected) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            told, code = _check(binary, Path(folder), make, write)
        taken = code == 0
        if taken != (expected is None) or (expected or "") not in told:
            sys.exit(f"{name}: exit code {code}, expected {expected!r}:\n{told}")
        print(f"ok {name}: {'taken' if taken else 'refused'}")


def _check(binary: str, folder: Path, make: list[str], write: list[str]) -> tuple[str, int]:
    made, key, chain = folder / "made.pem", folder / "key.pem", folder / "chain.pem"
    _openssl(*make, "-out", made)
    _openssl(*write, "-in", made, "-out", key)
    subject = ["-subj", "/CN=relay.test", "-addext", "subjectAltName=DNS:relay.test"]
    _openssl("req", "-x509", "-new", "-key", made, *subject, "-days", "2", "-out", chain)
    key.chmod(0o600)
    config = folder / "veilturn.toml"
    config.write_text(CONFIGURATION)
    config.chmod(0o600)
    checked = subprocess.run(
        [binary, "check", "--strict", "--config", config], capture_output=True, text=True
    )
    return checked.stdout + checked.stderr, checked.returncode


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"openssl {arguments[0]}: {done.stderr}")


if __name__ == "__main__":
    main(sys.argv[1])
