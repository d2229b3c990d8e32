#!/usr/bin/env python3
"""Runs the cases of .ci/compare under a real Envoy and under Martlet, and compares what caller and origin see.

Usage: compare.py --martlet PATH --envoy PATH [--show] [CASE…]

A case is a YAML file:
  config:    fields of the HttpConnectionManager (route_config, http_filters, …), merged over what every case has
  router:    fields of the router's configuration
  filters:   network filters before the HttpConnectionManager
  listener:  fields of the listener
  runtime:   a static layer of runtime keys
  origins:   their names, if there are to be others than `a` and `b`
  clusters:  more clusters than those of the origins' names, each of which has one origin
  limits:    what a rate limit service answers, at the cluster `limits`: a list of {when: PART OF "key=value,key=value;…",
             code:, statuses: [{requests:, unit:, name:, remaining:, reset:}…], answer: [[name, value]…],
             request: [[name, value]…], body:, after: SECONDS, status: GRPC STATUS}; the first that fits, else OK
  statistics: names whose values are compared at the end
  requests:  a list of {send: "GET /path", host:, headers: [[name, value]…], body:, times:,
             at_least: SECONDS, at_most: SECONDS, after: SECONDS}
  settle:    seconds to wait after each answer, for what origins see later
  ids:       true: ids are compared too, as far as they can be: those that the request brought as they are, others by
             their length, and of a UUID the digit that says why a request is traced; and of what an origin is sent as a
             collector (OTLP over HTTP) the spans, all requests together
  letters:   true: names of fields are compared with their capital letters
  ignore:    names of fields that need not be the same in this case
  differs:   what does on purpose: how its place begins, and why; a request may have some too

Each request goes over a connection of its own. An origin answers 200 with what it has seen; a request may say otherwise
by its path: `/@close` for none at all, `/@503`, `/@302=LOCATION`, `/@503:b` for the origin `b` alone, `/~BYTES` for a body of that length; `x-origin-NAME: VALUE` in a request becomes `NAME: VALUE` of the answer.
Compared are status, fields (names in order of the alphabet, values in their order) and body of the answer, and of
what each origin has seen: method, path, fields and body. Dates, ids, ports and durations are made the same first.
"""

import argparse
import collections
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = os.path.join(HERE, "compare")
VOLATILE = {"date", "x-envoy-upstream-service-time"}
# Of spans: sizes, addresses and the like of this run.
VOLATILE_TAGS = {"request_size", "response_size", "peer.address", "guid:x-request-id"}


class Origin(threading.Thread):
    """An HTTP/1.1 server on a port of its own that remembers what it was sent."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.name, self.seen = name, []
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rb") as stream:
            while True:
                request = read_message(stream)
                if request is None:
                    return
                self.seen.append(request)
                if "/@close" in request["start"]:
                    return
                answer = self.answer(request)
                try:
                    client.sendall(answer)
                except OSError:  # nobody waits for it any more
                    return

    def answer(self, request):
        path = request["start"].split(" ")[1]
        slow = re.search(r"/@slow=([0-9.]+)", path)
        if slow:
            time.sleep(float(slow.group(1)))
        status, location = 200, None
        order = re.search(r"/@(\d+)(?::(\w+))?(?:=([^?]*))?", path)
        if order and order.group(2) in (None, self.name):
            status, location = int(order.group(1)), order.group(3)
        lines = [f"HTTP/1.1 {status} Status", f"x-origin: {self.name}"]
        if location:
            lines.append("location: " + location)
        for name, value in request["fields"]:
            if name.lower().startswith("x-origin-"):
                lines.append(f"{name[9:]}: {value}")
        body = (self.name + "\n").encode()
        size = re.search(r"/~(\d+)", path)
        if size:
            body = b"x" * int(size.group(1))
        lines.append(f"content-length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        return head if request["start"].startswith("HEAD ") else head + body


def field(number, content):
    """A protobuf field: text, bytes or a number below 2**63."""
    def varint(value):
        out = b""
        while value >= 0x80:
            out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
        return out + bytes([value])

    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def fields_of(message):
    def varint(at):
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 0x80:
                return value, at

    at = 0
    while at < len(message):
        key, at = varint(at)
        count, at = varint(at)
        if key & 7 == 0:
            yield key >> 3, count
            continue
        yield key >> 3, message[at:at + count]
        at += count


class LimitService:
    """envoy.service.ratelimit.v3.RateLimitService with the answers of a case."""

    def __init__(self, answers):
        import concurrent.futures

        import grpc

        self.answers, self.asked = answers, []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        handler = grpc.unary_unary_rpc_method_handler(self.decide)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
            "envoy.service.ratelimit.v3.RateLimitService", {"ShouldRateLimit": handler}),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def decide(self, request, context):
        import grpc

        descriptors = []
        for number, content in fields_of(request):
            if number == 2:
                entries = [dict(fields_of(entry)) for place, entry in fields_of(content) if place == 1]
                hits = [dict(fields_of(hits)).get(1, 0) for place, hits in fields_of(content) if place == 3]
                descriptors.append(",".join(f"{e.get(1, b'').decode()}={e.get(2, b'').decode()}" for e in entries)
                                   + "".join(f" x {number}" for number in hits))
        text = ";".join(descriptors)
        self.asked.append(text)
        for answer in self.answers:
            if answer["when"] in text:
                time.sleep(answer.get("after", 0))
                if "status" in answer:
                    context.abort([c for c in grpc.StatusCode if c.value[0] == answer["status"]][0], "no")
                return self.message(answer)
        return field(1, 1)

    @staticmethod
    def message(answer):
        out = field(1, answer.get("code", 1))
        for status in answer.get("statuses", []):
            limit = field(1, status["requests"]) + field(2, status["unit"])
            if "name" in status:
                limit += field(3, status["name"])
            out += field(2, field(1, 1) + field(2, limit) + field(3, status["remaining"])
                         + field(4, field(1, status["reset"])))
        for number, name in ((3, "answer"), (4, "request")):
            for key, value in answer.get(name, []):
                out += field(number, field(1, key) + field(2, value))
        return out + (field(5, answer["body"]) if "body" in answer else b"")


def read_message(stream, is_answer=False, method="GET"):
    """Start line, fields and body; None at the end of the connection."""
    start = stream.readline()
    if not start:
        return None
    fields = []
    while True:
        line = stream.readline()
        if line in (b"\r\n", b""):
            break
        name, _, value = line.decode("latin-1").partition(":")
        fields.append((name, value.strip()))
    known = {name.lower(): value for name, value in fields}
    body = b""
    status = int(start.split()[1]) if is_answer else 0
    if is_answer and (method == "HEAD" or status in (204, 304) or status < 200):
        pass
    elif "content-length" in known:
        body = stream.read(int(known["content-length"]))
    elif known.get("transfer-encoding") == "chunked":
        while True:
            size = int(stream.readline().split(b";")[0], 16)
            body += stream.read(size)
            stream.readline()
            if size == 0:
                break
    return {"start": start.decode("latin-1").strip(), "fields": fields, "body": body.decode("latin-1")}


def cluster(name, port):
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def bootstrap(case, port, admin, origins):
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "http_filters": [],
    }
    manager.update(case.get("config", {}))
    manager["http_filters"] = manager["http_filters"] + [
        {"name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", **case.get("router", {})}}
    ]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    clusters = [cluster(name, origin.port) for name, origin in origins.items()]
    text = yaml.safe_dump(case.get("clusters", []))
    for name, origin in origins.items():
        text = text.replace(f"'@PORT_{name}@'", str(origin.port))
    result = {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "static_resources": {
            "listeners": [{
                "name": "front", "address": address, **case.get("listener", {}),
                "filter_chains": [{"filters": case.get("filters", []) + [{"name": "http", "typed_config": manager}]}],
            }],
            "clusters": clusters + yaml.safe_load(text),
        },
    }
    if case.get("runtime"):
        result["layered_runtime"] = {"layers": [{"name": "static", "static_layer": case["runtime"]}]}
    return result


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Proxy:
    def __init__(self, kind, binary, case, origins, folder):
        self.kind = kind
        self.port, self.admin = free_port(), free_port()
        path = os.path.join(folder, kind + ".yaml")
        with open(path, "w") as out:
            json.dump(bootstrap(case, self.port, self.admin, origins), out)  # which is YAML with every string in quotes
        self.log = os.path.join(folder, kind + ".log")
        if kind == "envoy":
            command = [binary, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        else:
            command = [binary, "--config-path", path, "--concurrency", "1"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        for _ in range(200):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{kind} does not start: {open(self.log).read()[:1500]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def exchange(port, request):
    method, path = request["send"].split(" ", 1)
    body = request.get("body", "")
    lines = [f"{method} {path} HTTP/1.1", f"host: {request.get('host', 'h.example')}"]
    lines += [f"{name}: {value}" for name, value in request.get("headers", [])]
    if body:
        lines.append(f"content-length: {len(body)}")
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.settimeout(10)
        client.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1"))
        with client.makefile("rb") as stream:
            try:
                return read_message(stream, is_answer=True, method=method)
            except ConnectionError:
                return None  # as at an end without an answer


def statistics(port, names):
    """Their values, as the admin page has them; None for one that is not there."""
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"GET /stats HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
        with client.makefile("rb") as stream:
            text = read_message(stream, is_answer=True)["body"]
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return {name: values.get(name) for name in names}


def made_ids(text, sent):
    """In place of ids that were not sent what can be compared of them."""
    def uuid(match):
        return match.group() if match.group() in sent else f"(uuid {match.group()[14]})"

    def number(match):
        return match.group() if match.group() in sent else f"({len(match.group())} digits)"

    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", uuid, text)
    return re.sub(r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{16})(?![0-9a-f])", number, text)


def wire(data):
    """Fields of a protobuf message: number to values."""
    fields, place = collections.defaultdict(list), 0

    def varint():
        nonlocal place
        value, shift = 0, 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(data):
        key = varint()
        size = {0: 0, 1: 8, 2: 0, 5: 4}[key & 7]
        if key & 7 == 0:
            fields[key >> 3].append(varint())
            continue
        size = varint() if key & 7 == 2 else size
        fields[key >> 3].append(data[place:place + size])
        place += size
    return fields


def spans(message, sent, clean):
    """What is compared of the spans in an ExportTraceServiceRequest."""
    def identifier(values):
        return made_ids(values[0].hex() if values else "none", sent)

    result = []
    for resource in wire(message["body"].encode("latin-1"))[1]:
        for scope in wire(resource)[2]:
            for span in map(wire, wire(scope)[2]):
                tags = {}
                for pair in map(wire, span[9]):
                    name, value = pair[1][0].decode(), wire(pair[2][0])
                    tags[name] = "(there)" if name in VOLATILE_TAGS else clean((value[1] or [b""])[0].decode())
                result.append({
                    "name": clean(span[5][0].decode()), "kind": span[6], "trace": identifier(span[1]),
                    "parent": identifier(span[4]), "state": [state.decode() for state in span[3] if state],
                    "tags": tags, "status": [wire(status)[3] for status in span[15]],
                })
    return result


def normal(message, ports, ignored, sent=None, letters=False):
    """What is compared of a message; `sent`: the request that it belongs to, where ids are compared."""
    if message is None:
        return None
    fields = collections.defaultdict(list)
    for name, value in message["fields"]:
        fields[name if letters else name.lower()].append(value)

    def clean(text):
        for port in ports:
            text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:PORT")
        text = re.sub(r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:PORT", text)
        text = text if sent is None else made_ids(text, sent)
        return re.sub(r'^(\w+=)"[0-9a-f]{16}"', r'\1"MADE"', text)  # a cookie that is made of the caller's port

    if fields["tracestate"] in ([], [""]):  # Envoy adds an empty one
        del fields["tracestate"]
    volatile = VOLATILE if sent is not None else VOLATILE | {"x-request-id"}
    if sent is not None and message["start"].startswith("POST /v1/traces "):
        return {"spans": spans(message, sent, clean)}
    result = {
        name: "(there)" if name in volatile else [clean(value) for value in values]
        for name, values in sorted(fields.items()) if name not in ignored
    }
    start = message["start"]
    if start.startswith("HTTP/"):
        start = start.split()[1]
    return {"start": start, "fields": result, "body": clean(message["body"])}


def together(messages):
    """In how many requests spans come is nobody's business, nor in which order."""
    if not any("spans" in message for message in messages):
        return messages
    found = [span for message in messages for span in message.get("spans", [])]
    return sorted(found, key=lambda span: json.dumps(span, sort_keys=True))


def run(kind, binary, case, folder):
    """For each request what the caller and the origins saw; for one that is sent often, how often each."""
    origins = {name: Origin(name) for name in case.get("origins", ["a", "b"])}
    limits = LimitService(case["limits"]) if "limits" in case else None
    if limits:
        service = cluster("limits", limits.port)
        service["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}}
        case = {**case, "clusters": case.get("clusters", []) + [service]}
    proxy = Proxy(kind, binary, case, origins, folder)
    ports = [proxy.port] + [origin.port for origin in origins.values()]
    ignored = set(case.get("ignore", []))
    results = []
    try:
        for request in case["requests"]:
            time.sleep(request.get("after", 0))
            times = request.get("times", 1)
            counts = collections.Counter()
            for _ in range(times):
                for origin in origins.values():
                    origin.seen.clear()
                if limits:
                    limits.asked.clear()
                started = time.monotonic()
                sent = json.dumps(request) if case.get("ids") else None
                answer = normal(exchange(proxy.port, request), ports, ignored, sent, case.get("letters"))
                took = time.monotonic() - started
                if not request.get("at_least", 0) <= took <= request.get("at_most", 10):
                    answer = {"start": f"after {took:.2f} s"}
                if case.get("settle"):
                    time.sleep(case["settle"])
                seen = {name: together([normal(m, ports, ignored, sent, case.get("letters")) for m in origin.seen])
                        for name, origin in origins.items() if origin.seen}
                if limits:
                    seen["limits"] = list(limits.asked)
                if times > 1:
                    counts[f"{answer and answer['start']} {sorted(seen)}"] += 1
            results.append(dict(counts) if times > 1 else {"answer": answer, "origins": seen})
        if case.get("statistics"):
            results.append({"statistics": statistics(proxy.admin, case["statistics"])})
    finally:
        proxy.stop()
        if limits:
            limits.server.stop(None)
    return results


def differences(left, right, path=""):
    if isinstance(left, dict) and isinstance(right, dict):
        return [line for key in sorted(set(left) | set(right), key=str)
                for line in differences(left.get(key), right.get(key), f"{path}.{key}")]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [line for index in range(len(left)) for line in differences(left[index], right[index], f"{path}.{index}")]
    return [] if left == right else [f"{path[1:]}: envoy {json.dumps(left)}  martlet {json.dumps(right)}"]


def shares_differ(left, right, times):
    """Counts of a request that was sent often: equal within four standard deviations of their difference."""
    lines = []
    for key in sorted(set(left) | set(right)):
        a, b = left.get(key, 0), right.get(key, 0)
        share = (a + b) / (2 * times)
        if abs(a - b) > 4 * (2 * times * share * (1 - share)) ** 0.5:
            lines.append(f"{key}: envoy {a} of {times}, martlet {b}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--martlet", help="martlet-proxy; without it only Envoy runs")
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--show", action="store_true", help="print what was seen")
    parser.add_argument("cases", nargs="*", help="names of cases, or paths; all of .ci/compare unless given")
    arguments = parser.parse_args()
    paths = [name if os.path.exists(name) else os.path.join(CASES, name + ".yaml") for name in arguments.cases]
    if not paths:
        paths = [os.path.join(CASES, name) for name in sorted(os.listdir(CASES)) if name.endswith(".yaml")]
    failed = requests = 0
    for path in paths:
        with open(path) as text:
            case = yaml.safe_load(text)
        name = os.path.splitext(os.path.basename(path))[0]
        with tempfile.TemporaryDirectory() as folder:
            try:
                envoy = run("envoy", arguments.envoy, case, folder)
                martlet = run("martlet", arguments.martlet, case, folder) if arguments.martlet else envoy
            except RuntimeError as error:
                failed += 1
                print(f"{name}: {error}")
                continue
        for request, left, right in zip(case["requests"] + [{"send": "statistics"}], envoy, martlet):
            requests += 1
            times = request.get("times", 1)
            lines = shares_differ(left, right, times) if times > 1 else differences(left, right)
            accepted = {**case.get("differs", {}), **request.get("differs", {})}
            lines = [line for line in lines if not any(line.startswith(key) for key in accepted)]
            if arguments.show:
                print(f"{name}: {request['send']} {request.get('headers', '')}\n    {json.dumps(left)}")
            if lines:
                failed += 1
                print(f"{name}: {request['send']} {request.get('headers', '')}")
                for line in lines:
                    print("    " + line)
    print(f"compare: {len(paths)} cases, {requests} requests, {failed} differ" if failed
          else f"compare: {len(paths)} cases, {requests} requests, all the same")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
