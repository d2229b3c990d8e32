"""What a proxy is asked to do in a scenario, and the ground that all of them stand on: certificates and ports."""

import dataclasses
import os
import socket

from processes import Failure, run_tool

TRUST = "spiffe://bench.example/ns/default/sa/"
SERVER_NAME = "bench.example"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@dataclasses.dataclass(frozen=True)
class Hop:
    """One proxy between two addresses. All are *featured*: request id, traceparent, retry policy, limits, a rate limit
    that does not bite, and no log."""
    listen: int                 # port
    target: int                 # port
    inside: str = "h1"          # what comes in: h1, h2 or tcp
    outside: str = "h1"         # what goes out
    accepts_tls: bool = False   # mutual TLS, as "callee"
    speaks_tls: bool = False    # mutual TLS, as "caller"
    workers: int = 1
    clusters: int = 1           # the first one's name is "origin"; each has a host name of its own
    extras: tuple = ()          # Martlet only: see scenarios.ALL_EXTRAS
    paths: int = 0              # Martlet only: so many more routes by path,
    hosts: int = 0              # and so many more by host


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def host_of(cluster):
    return f"svc{cluster}.default"


def path_of(route):
    return f"/service-{route}/"


def make_certificates(folder):
    """root.pem, and for caller and callee NAME.pem, NAME.key and NAME.both.pem (haproxy wants one file)."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*arguments):
        status, output = run_tool(["openssl", *arguments])
        if status != 0:
            raise Failure(f"openssl {' '.join(arguments)}: {output}")

    root, root_key = f"{folder}/root.pem", f"{folder}/root.key"
    openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=bench", "-keyout", root_key, "-out", root)
    for name in ("caller", "callee"):
        base = f"{folder}/{name}"
        with open(base + ".ext", "w", encoding="utf-8") as file:
            file.write(f"subjectAltName=URI:{TRUST}{name},DNS:{SERVER_NAME}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", "-new", *curve, "-subj", f"/CN={name}", "-keyout", base + ".key", "-out", base + ".csr")
        openssl("x509", "-req", "-in", base + ".csr", "-CA", root, "-CAkey", root_key, "-CAcreateserial",
                "-days", "2", "-extfile", base + ".ext", "-out", base + ".pem")
        with open(base + ".both.pem", "w", encoding="utf-8") as both:
            for part in (base + ".pem", base + ".key"):
                with open(part, encoding="utf-8") as file:
                    both.write(file.read())
