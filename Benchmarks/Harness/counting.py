"""System calls and user instructions per request: the difference between a long run and a short one, so that what a
start costs is not in them. Under callgrind every function's share is known, which gives the breakdown."""

import collections
import dataclasses
import os
import re
import subprocess

from stage import WRAPPED_START_MAX
from processes import Failure

FEW, MANY = 1000, 3000
STRACE = ("strace", "-f", "-c", "-o", "{name}.counts")
CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file={name}.profile", "--log-file={name}.counts")

# What a function's instructions are spent for: by its library, by its name in C, or, for Swift, by what it is called
# within its module. The first that fits counts.
LIBRARIES = (("TLS", r"lib(ssl|crypto)"), ("HTTP/2", r"libnghttp2"))
C_NAMES = (
    ("system calls", r"^(__)?(libc_)?(recv|send|sendmsg|writev?|read|epoll_\w+|accept4?|connect|close|socket|timerfd\w*|splice)\b"
     r"|^martlet_(send|recv|write|epoll|splice)|vdso|clock_gettime"),
    ("TLS", r"^martlet_ssl|^martlet_bio"),
    ("copy", r"mem(cpy|move|set|cmp|chr)|bcmp|strlen|str(n?case)?cmp"),
    ("allocation", r"^_*(malloc|free|calloc|realloc|int_\w+|unlink_chunk|sysmalloc|posix_memalign)\b|swift_(alloc|dealloc|slow)"
     r"|tcache"),
    ("reference counts", r"^_?swift_|RefCount"),
)
MODULES = {
    "HTTP1Codec": "parse", "HTTPModel": "parse", "HTTP2Codec": "HTTP/2", "TLSEngine": "TLS", "MeshModel": "route",
    "TrafficPolicy": "policy", "AccessPolicy": "policy", "Telemetry": "telemetry", "Reactor": "event loop",
    "MeshPrimitives": "buffers"}
SWIFT_NAMES = (
    ("build", r"HTTP1Writer|editedBy|\.(edit(Request|Answer|Host|Forwarding|Identity|Deadline)|write\w*Head|send\w*Head"
     r"|upstreamPath)\b|Via|HTTPDate"),
    ("policy", r"RateLimit|RequestID|Trace|Retry|Attempt\b|\.(identify|chooseHost|acquireConnection|readControls|applyTimes"
     r"|isInternal|offer)\b|Permit|SeededRandom|edit(Tracing|RateLimit)"),
    ("route", r"RouteTable|PathTree|RouteMatch|\.(findRoute|chooseCluster)\b"),
    ("telemetry", r"Record\b|logAccess|Histogram|Counter"),
    ("system calls", r"^(static )?(Linux)?Kernel"),
    ("TLS", r"TLS|Ciphertext|flushSessions"),
    ("HTTP/2", r"HTTP2|HeadAssembler|Stream"),
    ("event loop", r"ProxyServer\.run|connectionReady|TimerWheel|armTimer|noteRead"),
)
ALLOCATORS = re.compile(r"^(malloc|calloc|realloc|posix_memalign|swift_allocObject)$")


class Profile:
    """Self cost and calls per function of callgrind's output."""

    def __init__(self):
        self.cost = collections.Counter()
        self.calls = collections.Counter()

    @classmethod
    def read(cls, path):
        made, names, objects = cls(), {}, {}
        function, library, skip = "?", "", False
        compressed = re.compile(r"\((\d+)\)(?: (.*))?$")

        def resolve(table, text):
            found = compressed.match(text)
            if not found:
                return text
            if found[2] is not None:
                table[found[1]] = found[2]
            return table.get(found[1], "?")

        with open(path, encoding="utf-8", errors="replace") as file:
            callee = "?"
            for line in file:
                first = line[:1]
                if first.isdigit() or first in "+-*":
                    words = line.split()
                    if skip:
                        skip = False
                    elif len(words) >= 2:
                        made.cost[(function, os.path.basename(library))] += int(words[1])
                elif line.startswith("fn="):
                    function = resolve(names, line[3:].rstrip("\n"))
                elif line.startswith("ob="):
                    library = resolve(objects, line[3:].rstrip("\n"))
                elif line.startswith("cfn="):
                    callee = resolve(names, line[4:].rstrip("\n"))
                elif line.startswith("cob="):
                    resolve(objects, line[4:].rstrip("\n"))
                elif line.startswith("calls="):
                    made.calls[callee] += int(line[6:].split()[0])
                    skip = True
        return made

    def add(self, other, factor=1):
        for key, value in other.cost.items():
            self.cost[key] += factor * value
        for key, value in other.calls.items():
            self.calls[key] += factor * value

    def per_request(self, requests):
        for table in (self.cost, self.calls):
            for key in table:
                table[key] /= requests

    @property
    def total(self):
        return sum(self.cost.values())

    def categories(self):
        """Instructions by category."""
        words = demangle([function for function, _ in self.cost])
        shares = collections.Counter()
        for (function, library), cost in self.cost.items():
            shares[category(function, library, words[function])] += cost
        return shares

    @property
    def allocations(self):
        return {name: round(count, 2) for name, count in self.calls.items() if ALLOCATORS.match(name) and abs(count) >= 0.005}


def category(function, library, words):
    def first(table, text):
        return next((name for name, pattern in table if re.search(pattern, text)), None)
    found = first(LIBRARIES, library)
    if found:
        return found
    module = re.match(r"\$s(\d+)", function)
    if not module:
        return first(C_NAMES, function) or "other"
    module = function[module.end():module.end() + int(module[1])]
    plain = re.sub(r"^(specialized |static |closure #\d+ in |partial apply for )+", "", words)
    return first(SWIFT_NAMES, plain) or MODULES.get(module) or "exchange"


def demangle(names):
    """Swift's names in words, where `swift demangle` is here."""
    try:
        done = subprocess.run(["swift", "demangle", "--simplified", "--compact"], input="\n".join(names).encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False)
        lines = done.stdout.decode(errors="replace").splitlines()
    except (OSError, subprocess.TimeoutExpired):
        lines = []
    return dict(zip(names, lines)) if len(lines) == len(names) else {name: name for name in names}


class Counter:
    """Counts on a stage. The proxies run one after the other under the tool, a chain's all at once."""

    def __init__(self, stage, make_hops):
        self.stage, self.make_hops = stage, make_hops

    def system_calls(self, proxy, cell):
        few, many = (self.run(proxy, cell, STRACE, requests, self.strace_total) for requests in (FEW, MANY))
        return (many - few) / (MANY - FEW)

    def instructions(self, proxy, cell, load=None):
        few, many = (self.run(proxy, cell, CALLGRIND, requests, self.callgrind_total, load) for requests in (FEW, MANY))
        return (many - few) / (MANY - FEW)

    def profile(self, proxy, cell, load=None):
        few, many = (self.run(proxy, cell, CALLGRIND, requests, self.callgrind_profile, load) for requests in (FEW, MANY))
        many.add(few, -1)
        many.per_request(MANY - FEW)
        return many

    def run(self, proxy, cell, wrapper, requests, read, load=None):
        hops = self.make_hops(cell)
        chain = self.stage.start_chain(proxy, hops, wrapper, WRAPPED_START_MAX)
        try:
            self.stage.load(chain.port, load or counting_load(cell.load), requests=requests)
        finally:
            for name in chain.names:
                self.stage.stop_wrapped(name)
        results = [read(os.path.join(self.stage.folder, name)) for name in chain.names]
        total = results[0]
        for other in results[1:]:
            if isinstance(total, Profile):
                total.add(other)
            else:
                total += other
        return total

    @staticmethod
    def strace_total(base):
        text = read_text(base + ".counts")
        found = re.search(r"^100\.00\s+\S+\s+\d+\s+(\d+)\s.*total$", text, re.MULTILINE)
        if not found:
            raise Failure(f"strace says no total: {text[-300:]}")
        return int(found[1])

    @staticmethod
    def callgrind_total(base):
        text = read_text(base + ".counts")
        found = re.findall(r"Collected\s*:\s*(\d+)", text)
        if not found:
            raise Failure(f"callgrind says no total: {text[-300:]}")
        return int(found[-1])

    @staticmethod
    def callgrind_profile(base):
        return Profile.read(base + ".profile")


def counting_load(load):
    """Fewer connections, so that a count does not depend on how many events a turn of the loop finds."""
    return dataclasses.replace(load, connections=min(load.connections, 16))


def read_text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
