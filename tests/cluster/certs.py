"""Makes the cluster's keys, certificates and kubeconfigs. It knows no process and opens no connection."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Authority:
    """The one certificate authority of a cluster."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    folder: Path

    @property
    def path(self) -> Path:
        """The file that clients trust."""
        return self.folder / "ca.crt"


def make_authority(folder: Path) -> Authority:
    """A new authority; its certificate is written, its key stays in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local-cluster")])
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        builder.add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(key, certificate, folder)
    authority.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return authority


def issue(authority: Authority, file: str, user: str, groups: Iterable[str] = (), hosts: Iterable[str] = ()) -> Path:
    """A certificate for `user` (and for serving at `hosts`), written as FILE.crt and FILE.key; gives FILE.crt."""
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(x509.Name(attributes), authority.certificate.subject, key)
    names = [_general_name(host) for host in hosts]
    if names:
        uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = (
        builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(
            # Python's strict verification refuses a leaf without it.
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    place = authority.folder / f"{file}.crt"
    place.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    write_key(authority.folder / f"{file}.key", key)
    return place


def make_signing_pair(folder: Path) -> tuple[Path, Path]:
    """The key pair for service account tokens: (private, public)."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "service-account.key", folder / "service-account.pub"
    write_key(private, key)
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def write_kubeconfig(place: Path, server: str, authority: Authority, certificate: Path) -> None:
    """A kubeconfig with everything inside, so that it can be copied; JSON is YAML too."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "clusters": [
            {"name": "local", "cluster": {"server": server, "certificate-authority-data": _base64(authority.path)}}
        ],
        "users": [
            {
                "name": "local",
                "user": {
                    "client-certificate-data": _base64(certificate),
                    "client-key-data": _base64(certificate.with_suffix(".key")),
                },
            }
        ],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
    }
    place.write_text(json.dumps(content, indent=1))
    place.chmod(0o600)


def write_key(place: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """A private key that only its owner reads."""
    place.touch(mode=0o600)
    place.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
