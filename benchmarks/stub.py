"""A TLS server on loopback that answers like Lambda but only sleeps, so that only the client is measured.

Usage: python -m benchmarks.stub FOLDER   (writes ``ca.pem`` to the folder, and prints the port)
The job's environment variable ``STUB_S`` has the seconds to sleep per invocation.
"""

import asyncio
import datetime
import ipaddress
import json
import pickle
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from wrenlite.backends.aws import payload
from wrenlite.protocol import Ended, Outcome, Packed, Request, Usage

PACKED_NONE = Packed(pickle.dumps(None))
SETTINGS = {"Timeout": 60, "MemorySize": 512, "AccountLimit": {"ConcurrentExecutions": 1000}}


def make_certificate(folder: Path) -> ssl.SSLContext:
    """Write the certificate of an authority, and return a context for 127.0.0.1 with one that it has signed.

    They are valid for a day. Neither has a key identifier, which RFC 5280 asks for, as with many proxies.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _signed(
        "authority", authority_key, x509.BasicConstraints(ca=True, path_length=0), authority_key
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "stub.pem").write_bytes(_signed("stub", key, address, authority_key).public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "stub.pem", folder / "key.pem")
    return context


def _signed(name: str, key: Any, extension: Any, authority_key: Any) -> Any:
    """Return a certificate of a key with one extension."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=True)
        .sign(authority_key, hashes.SHA256())
    )


def reply(request: Request) -> bytes:
    """Return the reply of a function whose tasks all returned None."""
    now = time.time()
    outcomes = [
        Outcome(task, ok=True, packed=PACKED_NONE, started=now, seconds=1e-5, cpu_s=1e-5, output="")
        for task in request.tasks
    ]
    ended = Ended(None, Usage(1e-5 * len(outcomes), worker="stub"), ())
    return json.dumps(payload.encode_reply(payload.encode_body(outcomes, ended))).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection until the client closes it."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request_line, *lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            if "expect" in headers:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            answer = json.dumps(SETTINGS).encode()
            if "/invocations" in request_line:
                request, _ = payload.decode_request(json.loads(body))
                await asyncio.sleep(float(request.env.get("STUB_S", 0)))
                answer = reply(request)
            elif request_line.startswith("PUT"):
                answer = b""
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serve until stdin is closed."""
    context = make_certificate(Path(sys.argv[1]))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=2000, limit=2**23)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
