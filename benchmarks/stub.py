"""A Lambda that only sleeps, behind TLS on loopback: what is left to measure is the client.

Usage: python -m benchmarks.stub FOLDER   (writes ``ca.pem`` there, and prints the port)
The seconds to sleep come in the job's environment variable ``STUB_S``.
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

from wrenlite.backends.aws import payload
from wrenlite.protocol import Ended, Outcome, Packed, Request, Usage

NOTHING = Packed(pickle.dumps(None))
SETTINGS = {"Timeout": 60, "MemorySize": 512, "AccountLimit": {"ConcurrentExecutions": 1000}}


def certificate(folder: Path) -> ssl.SSLContext:
    """A key and a certificate of its own for 127.0.0.1, valid for a day."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stub")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "ca.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


def reply(request: Request) -> bytes:
    """What the function would have answered."""
    now = time.time()
    outcomes = [Outcome(task, True, NOTHING, now, 1e-5, 1e-5, "") for task in request.tasks]
    ended = Ended(None, Usage(1e-5 * len(outcomes), worker="stub"), ())
    return json.dumps(payload.encode_reply(payload.encode_body(outcomes, ended))).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, until the client closes it."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            if "expect" in headers:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            answer = json.dumps(SETTINGS).encode()
            if "/invocations" in first:
                request, _ = payload.decode_request(json.loads(body))
                await asyncio.sleep(float(request.env.get("STUB_S", 0)))
                answer = reply(request)
            elif first.startswith("PUT"):
                answer = b""
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()


async def main() -> None:
    """The program; ends when its stdin does."""
    context = certificate(Path(sys.argv[1]))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=2000, limit=2**23)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
