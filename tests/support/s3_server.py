"""S3 over real HTTP, and over TLS: moto's server as a process on a free loopback port.

moto stores what it is sent, whatever the request says about it. With `strict` this server refuses what R2 refuses (an
ACL, checksums behind the body, a body that is not as its MD5 says) and what costs time there (`Expect`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vinops.config import Settings

BUCKET = "bucket-of-the-tests"
KEY_ID = "key-id-of-the-tests"
SECRET = "secret-key-of-the-tests"
_HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running server. `ca_file` is what a client must trust, `log` has a line for each request."""

    endpoint: str
    ca_file: Path | None
    log: Path

    def client(self, service: str = "s3", key_id: str = KEY_ID, secret: str = SECRET) -> Any:
        """Return a plain boto3 client of this server, for what a test arranges and looks at. Close it."""
        import boto3  # type: ignore[import-untyped] # the server's process, which runs this file too, starts sooner without

        return boto3.session.Session().client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            verify=str(self.ca_file) if self.ca_file else True,
        )

    def make_bucket(self, name: str = BUCKET) -> str:
        """Make an empty bucket and return its name."""
        client = self.client()
        client.create_bucket(Bucket=name)
        client.close()
        return name

    def settings(self, **changed: Any) -> Settings:
        """Return settings that keep photos in BUCKET of this server."""
        from vinops.config import Secret, Settings

        ours: dict[str, Any] = {
            "r2_endpoint": self.endpoint,
            "r2_access_key_id": Secret(KEY_ID),
            "r2_secret_access_key": Secret(SECRET),
            "r2_bucket_name": BUCKET,
        }
        return Settings(**{**ours, **changed})

    def require_accounts(self) -> None:
        """From here on check signatures and permissions: only users made through `client("iam")` are let in."""
        address = f"{self.endpoint}/moto-api/reset-auth"
        request = urllib.request.Request(address, data=b"0", headers={"Content-Type": "text/plain"})
        urllib.request.urlopen(request).close()

    def requests(self) -> list[str]:
        """Return the requests so far, as in `PUT /bucket/key 200`."""
        lines = [line.split('"') for line in self.log.read_text().splitlines() if line.count('"') >= 2]
        return [f"{parts[1].rpartition(' ')[0]} {parts[2].split()[0]}" for parts in lines]


@contextmanager
def s3_server(tls: bool = False, *, strict: bool = False) -> Iterator[S3Server]:
    """Run a server until the block ends, or until this process does."""
    with tempfile.TemporaryDirectory(prefix="vinops-s3-") as name:
        folder = Path(name)
        ca_file = _certificates(folder) if tls else None
        log = folder / "requests.log"
        words = ["tls"] * tls + ["strict"] * strict
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "MOTO_"))}
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, __file__, name, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=ours,
            )
        try:
            assert process.stdout is not None
            port = process.stdout.readline().decode().strip()
            assert port, log.read_text()
            yield S3Server(endpoint=f"{'https' if tls else 'http'}://{_HOST}:{port}", ca_file=ca_file, log=log)
        finally:
            process.kill()
            process.communicate()


def _certificates(folder: Path) -> Path:
    """Write server.pem (key and certificate) and ca.pem, an authority made for the occasion; return the latter."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    start = x509.CertificateBuilder().not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(1))
    start = start.issuer_name(name("authority of the tests"))
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    signs = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, decipher_only=False, **usage)
    ca = (
        start.subject_name(name("authority of the tests"))
        .public_key(authority.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    leaf = (
        start.subject_name(name("server of the tests"))
        .public_key(server.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(_HOST))]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
        .sign(authority, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = server.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(key + leaf.public_bytes(pem))
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    return folder / "ca.pem"


def _refuse_as_r2_does(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    def refuse(start: Callable[..., object], status: str, code: str) -> Iterable[bytes]:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>refused</Message></Error>".encode()
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    def strict(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "PUT" or environ["PATH_INFO"].strip("/").count("/") == 0:
            return app(environ, start)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        if "HTTP_EXPECT" in environ:
            return refuse(start, "417 Expectation Failed", "ExpectationFailed")
        if "HTTP_X_AMZ_ACL" in environ or "TRAILER" in environ.get("HTTP_X_AMZ_CONTENT_SHA256", ""):
            return refuse(start, "501 Not Implemented", "NotImplemented")
        if environ.get("HTTP_CONTENT_MD5") != md5:
            return refuse(start, "400 Bad Request", "BadDigest")
        return app(environ, start)

    return strict


def _serve(folder: Path, words: list[str]) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    app: Any = DomainDispatcherApplication(create_backend_app)
    if "strict" in words:
        app = _refuse_as_r2_does(app)
    context = None
    if "tls" in words:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
    server = make_server(_HOST, 0, app, threaded=True, request_handler=MotoRequestHandler, ssl_context=context)
    print(server.server_port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()  # ends with its starter
    server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2:])
