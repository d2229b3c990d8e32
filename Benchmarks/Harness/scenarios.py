"""S1 to S10 as data: what stands where, what is asked of it, and what Martlet must reach."""

import dataclasses

from hops import Hop, free_port


@dataclasses.dataclass(frozen=True)
class Load:
    kind: str = "h1"            # h1: martlet-load; h2: h2load; handshakes: a connection for each request
    connections: int = 64
    path: str = "/64"
    host: str = ""              # the Host field, or the address
    body: int = 0               # bytes of each request
    rate: int = 0               # requests per second; 0 is a closed loop
    streams: int = 1            # of HTTP/2, in flight on each connection
    is_grpc: bool = False
    resumed: bool = False


@dataclasses.dataclass(frozen=True)
class Target:
    """Martlet's figure over that of `against` in the same round, as median, must not exceed `limit`. `against` is a proxy,
    "best" (haproxy or nginx, the better one), "peers" (every one of them), a cell ("=S1 64") of Martlet's own, or
    "" for an absolute limit."""
    limit: float
    against: str = "best"
    metric: str = "cpu"


@dataclasses.dataclass(frozen=True)
class Cell:
    key: str
    title: str
    shape: str
    load: Load = Load()
    targets: tuple = ()
    metric: str = "cpu"         # what the table shows; see report.UNITS
    special: str = ""           # a method of Bench instead of a load
    counts: bool = False        # system calls and instructions are counted as well
    counts_routes: bool = False # and instructions with many routes
    counts_extras: bool = False # and with each of the policies by itself
    amount: int = 0             # for S7: connections or clusters
    peers: bool = True          # or Martlet alone
    quick: str = ""             # the peers that stand in a quick run
    pinned: bool = True


MIB = 1 << 20
ALL_EXTRAS = ("header match", "header changes", "retries", "hedging", "ring hash", "outlier", "health", "breaker",
              "adaptive concurrency", "admission control", "route limit", "fault", "CORS", "access policy", "tracing")

CELLS = (
    Cell("S1 64", "HTTP/1.1, 64 B, 64 connections", "one", Load(), counts=True, counts_routes=True, quick="nginx,floor",
         targets=(Target(0.65), Target(0.22, "Envoy"), Target(1.4, "floor"))),
    Cell("S1 1", "HTTP/1.1, 64 B, 1 connection", "one", Load(connections=1), (Target(0.80),)),
    Cell("S2 16K", "16 KiB answers", "one", Load(path="/16384"), (Target(0.75),)),
    Cell("S2 1M", "1 MiB answers", "one", Load(path="/1048576", connections=16), (Target(0.90),)),
    Cell("S2 up", "1 MiB uploads", "one", Load(body=MIB, connections=16), (Target(0.90),)),
    Cell("S3 h1", "pair, mutual TLS, HTTP/1.1 between", "pair h1", Load(), counts=True, quick="nginx",
         targets=(Target(0.75), Target(0.25, "Envoy"))),
    Cell("S3 h2", "pair, mutual TLS, HTTP/2 between", "pair h2", Load(), counts=True,
         targets=(Target(0.75), Target(0.25, "Envoy"))),
    Cell("S3 h1 1", "pair, HTTP/1.1 between, 1 connection", "pair h1", Load(connections=1),
         (Target(0.75), Target(0.25, "Envoy"))),
    Cell("S3 h2 1", "pair, HTTP/2 between, 1 connection", "pair h2", Load(connections=1),
         (Target(0.75), Target(0.25, "Envoy"))),
    Cell("S4 h2", "HTTP/2, 100 streams", "h2", Load("h2", connections=1, streams=100), counts=True, quick="haproxy",
         targets=(Target(0.80, "haproxy"), Target(0.22, "Envoy"))),
    Cell("S4 grpc", "gRPC, 100 streams", "h2", Load("h2", connections=1, streams=100, is_grpc=True),
         (Target(0.80, "haproxy"), Target(0.22, "Envoy"))),
    Cell("S5 ping", "TCP ping-pong, 64 connections", "tcp", Load(), (Target(1.0, "haproxy"),)),
    Cell("S5 bulk", "TCP bulk, per GiB", "tcp", Load(path=f"/{16 * MIB}", connections=4), (Target(0.50),), metric="per_gib",
         amount=16 * MIB),
    Cell("S6 full", "new mutual TLS connection per request, full", "tls", Load("handshakes", connections=8),
         (Target(0.75, "nginx"),)),
    Cell("S6 resumed", "new mutual TLS connection per request, resumed", "tls", Load("handshakes", connections=8, resumed=True), (Target(0.80, "nginx"),)),
    Cell("S7 rss", "idle, resident", "one", special="idle", metric="rss_mib", targets=(
        Target(12, "", "rss_mib"), Target(4, "", "anonymous_mib"))),
    Cell("S7 ready", "time to ready", "one", special="ready", metric="ready_ms", targets=(Target(15, "", "ready_ms"),)),
    Cell("S7 plain", "each idle connection", "one", special="idle_connections", metric="kib", amount=4000,
         targets=(Target(0.5, "", "kib"),)),
    Cell("S7 tls", "each idle mutual TLS connection", "tls", special="idle_connections", metric="kib", amount=1000,
         targets=(Target(20, "", "kib"),)),
    Cell("S7 1k", "1,000 clusters with routes", "one", special="clusters", metric="kib_per_cluster", amount=1000,
         targets=(Target(6, "", "kib_per_cluster"), Target(0.5, "best", "ready_ms"))),
    Cell("S7 10k", "10,000 clusters with routes", "one", special="clusters", metric="kib_per_cluster", amount=10000,
         targets=(Target(6, "", "kib_per_cluster"), Target(0.5, "best", "ready_ms"))),
    Cell("S8 one", "2,000 requests/s, one sidecar", "one", Load(connections=16, rate=2000), metric="p50_added", targets=(
        Target(1.0, "peers", "p50_added"), Target(1.0, "peers", "p90_added"))),
    Cell("S8 two", "2,000 requests/s, pair, mutual TLS", "pair h1", Load(connections=16, rate=2000), metric="p50_added",
         targets=(Target(1.0, "peers", "p50_added"), Target(1.0, "peers", "p90_added"))),
    Cell("S9 1", "1 worker, on both processors", "one", Load(), peers=True, pinned=False),
    Cell("S9 2", "2 workers, on both processors", "two workers", Load(), pinned=False, targets=(Target(1.15, "=S9 1"),)),
    Cell("S10", "every policy on the route", "policies", Load(), counts_extras=True, peers=False, targets=(Target(1.25, "=S1 64"),)),
)


def hops_of(shape, origins, extras=(), clusters=1):
    """The proxies of a shape, the caller's side first. `origins` gives the port of one for h1 or h2."""
    if shape.startswith("pair"):
        between = shape.split()[1]
        callee = Hop(free_port(), origins("h1"), inside=between, accepts_tls=True)
        return [Hop(free_port(), callee.listen, outside=between, speaks_tls=True), callee]
    made = {
        "one": {}, "tls": {"accepts_tls": True}, "two workers": {"workers": 2},
        "h2": {"inside": "h2", "outside": "h2"}, "tcp": {"inside": "tcp", "outside": "tcp"},
        "policies": {"extras": extras}}[shape]
    return [Hop(free_port(), origins("h2" if shape == "h2" else "h1"), clusters=clusters, **made)]
