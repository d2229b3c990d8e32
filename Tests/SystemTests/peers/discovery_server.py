#!/usr/bin/env python3
"""Drives martlet-proxy as a control plane that others wrote: discovery over Python's gRPC, state of the world.

    discovery_server.py MARTLET_PROXY

Needs PyPI's grpcio, xds-protos and cryptography. Every port is free, everything is on loopback, and all files lie in
a folder that goes away. Prints one line for each check; ends with status 1 at the first that fails.
"""

import concurrent.futures
import datetime
import http.client
import http.server
import json
import os
import queue
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import any_pb2, json_format

from checks import check, until
from resource_types import NAMES, TYPES, URLS

# The messages that stand in an Any below have to be known to the reader.
KNOWN = [router_pb2.Router, http_connection_manager_pb2.HttpConnectionManager, tls_pb2.DownstreamTlsContext]

BOOTSTRAP = """
node: {id: foreign-1, cluster: foreign}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: control}}]
  lds_config: {resource_api_version: V3, ads: {}}
  cds_config: {resource_api_version: V3, ads: {}}
static_resources:
  clusters:
  - name: control
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: control
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: PORT}}}}]}]
"""


class Stream:
    """One stream of the proxy's: what it said, and what it is sent."""

    def __init__(self):
        self.requests = []
        self.responses = queue.Queue()
        self.changed = threading.Condition()

    def read(self, requests):
        try:
            for request in requests:
                with self.changed:
                    self.requests.append(request)
                    self.changed.notify_all()
        except grpc.RpcError:
            pass
        self.responses.put(None)

    def first(self, what, seconds, wanted):
        """The first request that is wanted, now or later."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                for request in self.requests:
                    if wanted(request):
                        return request
                if not self.changed.wait(end - time.monotonic()):
                    check(what, False, [(NAMES.get(r.type_url), r.version_info, r.response_nonce,
                                         r.error_detail.message) for r in self.requests[-8:]])


class Discovery(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    def __init__(self, port=0):
        self.streams = queue.Queue()
        self.nonces = 0
        self.server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def StreamAggregatedResources(self, requests, context):
        stream = Stream()
        threading.Thread(target=stream.read, args=(requests,), daemon=True).start()
        self.streams.put(stream)
        while (response := stream.responses.get()) is not None:
            yield response

    def send(self, stream, name, version, resources):
        """Sends, and waits for the answer: the text of the refusal, or None."""
        self.nonces += 1
        nonce = f"n{self.nonces}"
        response = discovery_pb2.DiscoveryResponse(version_info=version, type_url=URLS[name], nonce=nonce)
        for resource in resources:
            message = json_format.ParseDict(resource, TYPES[name]())
            packed = any_pb2.Any()
            packed.Pack(message)
            response.resources.append(packed)
        stream.responses.put(response)
        # After an acknowledgement there may be a refusal of the same response still, and after that nothing.
        answer = stream.first(f"an answer to {name} {version}", 10, lambda r: r.response_nonce == nonce)
        if answer.HasField("error_detail"):
            check("a refusal has the code of Envoy's", answer.error_detail.code == 13)
            return answer.error_detail.message
        return None


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.server.word.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def origin(word):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    server.word = word
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name, **more):
    return dict({"name": name, "type": "EDS", "connect_timeout": "1s",
                 "eds_cluster_config": {"eds_config": {"resource_api_version": "V3", "ads": {}}}}, **more)


def endpoints(name, port):
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]}


def routes(name, to):
    return {"name": name, "virtual_hosts": [{
        "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": to}}]}]}


def listener(name, port, route, secret=None, **manager):
    chain = {"filters": [{"name": "http", "typed_config": dict({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
                 "HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": route, "config_source": {"resource_api_version": "V3", "ads": {}}},
        "http_filters": [{"name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}, **manager)}]}
    if secret:
        chain["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": [{
                "name": secret, "sds_config": {"resource_api_version": "V3", "ads": {}}}]}}}
    return {"name": name, "address": address(port), "filter_chains": [chain]}


def certificate(serial):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(serial).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1)).sign(key, hashes.SHA256()))
    return made.public_bytes(serialization.Encoding.PEM).decode(), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def secret(name, chain, key):
    return {"name": name, "tls_certificate": {
        "certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path="/", host="127.0.0.1"):
    try:
        connection = http.client.HTTPConnection(host, port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError as error:
        return 0, str(error)


def shown_serial(port):
    try:
        pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
        return x509.load_pem_x509_certificate(pem.encode()).serial_number
    except OSError:
        return None


class Load:
    """Requests one after another until it is told to stop; what was not 200."""

    def __init__(self, port):
        self.port, self.failures, self.count, self.isDone = port, [], 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        while not self.isDone:
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            self.count += 1

    def stop(self):
        self.isDone = True
        self.thread.join(10)
        return self.failures


def main(binary):
    folder = tempfile.mkdtemp(prefix="martlet-discovery-")
    log = open(os.path.join(folder, "log"), "w+")
    control = Discovery()
    bootstrap = os.path.join(folder, "bootstrap.yaml")
    with open(bootstrap, "w") as file:
        file.write(BOOTSTRAP.replace("PORT", str(control.port)))
    admin = os.path.join(folder, "admin")
    process = subprocess.Popen(
        [binary, "-c", bootstrap, "--concurrency", "2", "--admin-address-path", admin, "--log-level", "debug"],
        stderr=log)
    try:
        run(control, process, admin)
    except BaseException:
        log.seek(0)
        sys.stderr.write(log.read()[-6000:])
        raise
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def run(control, process, admin):
    one, two = origin("one"), origin("two")
    plain, tls = free_port(), free_port()
    stream = control.streams.get(timeout=10)

    # The start, in the order of Envoy's.
    first = stream.first("the first request", 5, lambda r: True)
    check("clusters are asked for first, by whom the bootstrap says",
          NAMES[first.type_url] == "clusters" and first.node.id == "foreign-1" and first.version_info == "")
    until("the admin address", 5, lambda: os.path.exists(admin) and open(admin).read())
    page = int(open(admin).read().rsplit(":", 1)[1])
    check("not ready before it has a configuration", get(page, "/ready")[0] == 503)

    def asked_for(kind, name, of=None):
        return (of or stream).first(
            f"{kind} '{name}' to be asked for", 5,
            lambda r: NAMES[r.type_url] == kind and name in r.resource_names)

    def start(version, clusters, assignments, version_of_endpoints):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(control.send, stream, "clusters", version, clusters)
            for assignment in assignments:
                asked_for("endpoints", assignment["cluster_name"])
            refusal = control.send(stream, "endpoints", version_of_endpoints, assignments)
            check("endpoints are accepted", refusal is None, refusal or "")
            return answer.result()

    refusal = start("c1", [cluster("a")], [endpoints("a", one.server_port)], "e1")
    check("clusters are accepted", refusal is None, refusal or "")
    stream.first("listeners", 5, lambda r: NAMES[r.type_url] == "listeners")
    chain, key = certificate(1001)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(control.send, stream, "listeners", "l1", [
            listener("plain", plain, "r"), listener("tls", tls, "r", secret="server")])
        asked_for("routes", "r")
        asked_for("secrets", "server")
        check("routes are accepted", control.send(stream, "routes", "r1", [routes("r", "a")]) is None)
        check("a key by SDS is accepted",
              control.send(stream, "secrets", "s1", [secret("server", chain, key)]) is None)
        check("listeners are accepted", answer.result() is None)
    until("ready", 5, lambda: get(page, "/ready")[0] == 200)
    check("a request finds its way", get(plain) == (200, "one"), get(plain))
    check("the key is in use", shown_serial(tls) == 1001, shown_serial(tls))

    # Changes under load.
    load = Load(plain)
    until("some requests", 5, lambda: load.count > 20)
    chain, key = certificate(1002)
    check("a new key", control.send(stream, "secrets", "s2", [secret("server", chain, key)]) is None)
    until("the new key to be in use", 5, lambda: shown_serial(tls) == 1002)
    check("the new key is in use", True)
    check("a moved endpoint", control.send(
        stream, "endpoints", "e2", [endpoints("a", two.server_port)]) is None)
    until("the other origin", 5, lambda: get(plain) == (200, "two"))
    refusal = start("c2", [cluster("a"), cluster("b")],
                    [endpoints("a", two.server_port), endpoints("b", one.server_port)], "e3")
    check("one more cluster", refusal is None, refusal or "")
    check("routes to it", control.send(stream, "routes", "r2", [routes("r", "b")]) is None)
    until("the first origin again", 5, lambda: get(plain) == (200, "one"))

    # What is wrong is refused by its path; the rest is taken, and the last good one of the rest stays.
    refusal = control.send(stream, "clusters", "c3", [
        cluster("a", track_cluster_stats={"timeout_budgets": True}), cluster("b", connect_timeout="2s")])
    check("a field that is not supported is refused by its path",
          refusal is not None and "cluster 'a': track_cluster_stats: " in refusal, refusal)
    last = stream.requests[-1]
    check("the refusal repeats the version before", last.version_info == "c2", last.version_info)
    until("the good cluster of the refused response", 5, lambda: "connect_timeout\": \"2s" in
          get(page, "/config_dump")[1].replace("\":\"", "\": \""))
    check("the good cluster of a refused response is taken", True)
    refusal = control.send(stream, "routes", "r3", [
        {"name": "r", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"safe_regex": {"regex": "a("}}, "route": {"cluster": "b"}}]}]}])
    check("a regular expression that is none is refused", refusal is not None and "safe_regex" in refusal, refusal)
    refusal = control.send(stream, "routes", "r3", [
        {"name": "r", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "b", "timeout": "-1s"}}]}]}])
    check("a negative duration is refused", refusal is not None and "timeout" in refusal, refusal)

    # What shows only where it is taken up.
    both = [listener("plain", plain, "r"), listener("tls", tls, "r", secret="server")]
    refusal = control.send(stream, "listeners", "l2", both + [listener("taken", one.server_port, "r")])
    check("a port in use is refused by its listener",
          refusal == f"listener 'taken': address: 127.0.0.1:{one.server_port}: address in use", refusal)
    check("the refusal repeats the version before", stream.requests[-1].version_info == "l1")
    refusal = control.send(stream, "listeners", "l3", both + [
        listener("far", 0, "r") | {"address": {"socket_address": {"address": "192.0.2.1", "port_value": 81}}}])
    check("an address that is not this host's is refused",
          refusal is not None and refusal.startswith("listener 'far': address: cannot listen on 192.0.2.1:81"),
          refusal)
    stranger = certificate(1003)[1]
    refusal = control.send(stream, "secrets", "s3", [secret("server", chain, stranger)])
    check("a key that is another certificate's is refused", refusal is not None and "server" in refusal, refusal)
    check("the last good key is in use", shown_serial(tls) == 1002, shown_serial(tls))
    another = free_port()
    refusal = control.send(stream, "listeners", "l4", both + [listener("another", another, "r")])
    check("what is right again is accepted", refusal is None, refusal or "")
    check("and serves", get(another) == (200, "one"), get(another))
    check("what is gone stops serving", control.send(stream, "listeners", "l5", both) is None)
    until("the listener to go", 5, lambda: get(another)[0] == 0)

    # A control plane that goes away and comes back.
    port = control.port
    control.server.stop(0).wait()
    time.sleep(0.3)
    check("without a control plane it goes on", get(plain) == (200, "one"), get(plain))
    control = Discovery(port)
    check("the port of the control plane is there again", control.port == port)
    stream = control.streams.get(timeout=30)
    back = stream.first("the first request", 5, lambda r: NAMES[r.type_url] == "clusters")
    check("it says what it has, with its node and without a nonce",
          (back.version_info, back.response_nonce, back.node.id) == ("c2", "", "foreign-1"),
          (back.version_info, back.response_nonce))
    back = stream.first("listeners", 5, lambda r: NAMES[r.type_url] == "listeners")
    check("of every type", back.version_info == "l5", back.version_info)
    check("and takes more", control.send(stream, "routes", "r9", [routes("r", "a")]) is None)
    until("the other origin", 5, lambda: get(plain) == (200, "two"))
    failures = load.stop()
    check("no request was lost meanwhile", failures == [], f"{load.count} requests, {failures[:5]}")
    process.terminate()
    check("SIGTERM ends it", process.wait(10) == 0)
    control.server.stop(0)


if __name__ == "__main__":
    main(sys.argv[1])
