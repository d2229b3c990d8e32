#!/usr/bin/env python3
"""Drives martlet-control as proxies and operators do, with gRPC and TLS written by others.

    control_plane.py MARTLET_CONTROL MARTLET [MESH-FOLDER]

Needs PyPI's grpcio, xds-protos and cryptography. Every port is free, everything is on loopback, and all files lie in
a folder that goes away. Prints one line for each check; ends with status 1 at the first that fails.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import json_format

from checks import check, until
from resource_types import NAMES, TYPES, URLS


def name_of(resource):
    return getattr(resource, "cluster_name", None) or resource.name


class Proxy:
    """One sidecar: asks for everything, takes it, and acknowledges it."""

    def __init__(self, channel, service, instance, refuse=None, agent="martlet"):
        port = 40000 + instance * 10
        self.metadata = {
            "martlet": {
                "capabilities": ["martlet.v1"],
                "address": "127.0.0.1",
                "app": [{"port": 8080, "protocol": "http", "listen": f"127.0.0.1:{port}"}],
                "outbound": f"127.0.0.1:{port + 1}",
            }
        }
        self.node = base_pb2.Node(
            id=f"default/{service}~{instance:08x}", cluster=f"default/{service}", user_agent_name=agent)
        json_format.ParseDict(self.metadata, self.node.metadata)
        self.held = {name: {} for name in TYPES}
        self.versions = {}
        self.order = []
        self.refuse = refuse
        self.error = None
        self.ended = threading.Event()
        self.requests = queue.Queue()
        for name in ("clusters", "listeners"):
            self.ask(name)
        self.call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources(
            iter(self.requests.get, None))
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def ask(self, name, response=None, error=None):
        request = discovery_pb2.DiscoveryRequest(node=self.node, type_url=URLS[name])
        if name == "endpoints":
            request.resource_names.extend(sorted(self.held["clusters"]))
        elif name == "routes":
            request.resource_names.append("outbound")
        elif name == "secrets":
            request.resource_names.append("martlet:bundle")
        if response is not None:
            request.response_nonce = response.nonce
            request.version_info = self.versions.get(name, "") if error else response.version_info
        if error:
            request.error_detail.code = 13
            request.error_detail.message = error
        self.requests.put(request)

    def read(self):
        try:
            for response in self.call:
                name = NAMES[response.type_url]
                self.order.append(name)
                resources = {}
                for packed in response.resources:
                    resource = TYPES[name]()
                    packed.Unpack(resource)
                    resources[name_of(resource)] = resource
                if self.refuse == name:
                    self.ask(name, response, "refused by the check")
                    continue
                known = set(self.held["clusters"])
                if name in ("clusters", "listeners"):
                    self.held[name] = resources
                else:
                    self.held[name].update(resources)
                self.versions[name] = response.version_info
                self.ask(name, response)
                if name == "clusters" and set(resources) != known:
                    self.ask("endpoints")
                if name == "listeners":
                    self.ask("routes")
                    self.ask("secrets")
        except grpc.RpcError as error:
            self.error = error
        self.ended.set()

    def close(self):
        self.requests.put(None)
        self.call.cancel()
        self.thread.join(5)


def field(number, value):
    """One length-delimited field on the wire."""
    data = value if isinstance(value, bytes) else value.encode()
    length, size = len(data), b""
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


def fields(data):
    found, at = {}, 0
    while at < len(data):
        number, at = data[at] >> 3, at + 1
        length, shift = 0, 0
        while True:
            byte, at = data[at], at + 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        found.setdefault(number, []).append(data[at:at + length])
        at += length
    return found


def sign(channel, key, token="", service="", name="spiffe://other/ns/martlet/sa/control"):
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)]), critical=False)
        .sign(key, hashes.SHA256()))
    body = field(1, request.public_bytes(serialization.Encoding.DER)) + field(2, token) + field(3, service)
    call = channel.unary_unary("/martlet.ca.v1.Certificates/Sign")
    answer = fields(call(body, timeout=5))
    return answer[1], answer[2][0]


def refusal(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name
    return None


class Control:
    def __init__(self, binary, mesh):
        self.folder = tempfile.mkdtemp(prefix="martlet-control-")
        self.mesh = os.path.join(self.folder, "mesh")
        shutil.copytree(mesh, self.mesh)
        self.data = os.path.join(self.folder, "data")
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.binary = binary
        self.start()

    def start(self, xds="127.0.0.1:0"):
        ports = os.path.join(self.folder, "ports.json")
        if os.path.exists(ports):
            os.remove(ports)
        self.process = subprocess.Popen(
            [self.binary, "--config", self.mesh, "--data-dir", self.data, "--xds-address", xds, "--ca-address",
             "127.0.0.1:0", "--xds-tls-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--ports-file",
             ports, "--log-format", "json"], stderr=self.log)
        until("martlet-control listens", 10, lambda: os.path.exists(ports) or self.process.poll() is not None)
        self.ports = json.load(open(ports))

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.ports['http']}{path}", timeout=5) as answer:
            body = answer.read()
            return json.loads(body) if "json" in answer.headers["content-type"] else body.decode()

    def stop(self):
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        return self.process.returncode, time.monotonic() - begin

    def edit(self, name, old, new):
        path = os.path.join(self.mesh, name)
        text = open(path).read()
        assert old in text, (name, old)
        with open(path + ".new", "w") as file:
            file.write(text.replace(old, new))
        os.rename(path + ".new", path)


def main(binary, martlet, mesh):
    control = Control(binary, mesh)
    try:
        run(control, martlet)
    except BaseException:
        control.log.seek(0)
        sys.stderr.write(control.log.read())
        raise
    finally:
        if control.process.poll() is None:
            control.process.kill()
        shutil.rmtree(control.folder)


def run(control, martlet):
    # Discovery in the clear: ten sidecars of five services.
    plain = grpc.insecure_channel(control.ports["xds"])
    services = ["portal", "orders", "quotes-v1", "quotes-v2", "payments"] * 2
    proxies = [Proxy(plain, service, number) for number, service in enumerate(services)]

    def in_step():
        listed = control.get("/api/v1/proxies")
        return len(listed["proxies"]) == len(proxies) and all(
            p["revisionAcknowledged"] >= listed["revision"] and all(t["isInStep"] for t in p["types"])
            and len(p["types"]) == 5 for p in listed["proxies"]) and listed

    until("ten proxies hold everything", 10, in_step)
    check("ten proxies hold everything", True)
    check("clusters come first", proxies[0].order[0] == "clusters", " ".join(proxies[0].order[:6]))
    first = proxies[0].held
    check("an inbound listener, and the outbound one", sorted(first["listeners"]) == ["inbound|8080", "outbound"])
    orders = "outbound|80|default/orders"

    def endpoints(proxy, name):
        return sum(len(group.lb_endpoints) for group in proxy.held["endpoints"][name].endpoints)

    until("two registered endpoints", 2, lambda: endpoints(proxies[0], orders) == 2)
    check("registered workloads are endpoints", True)
    split = [
        (cluster.name, cluster.weight.value)
        for host in first["routes"]["outbound"].virtual_hosts if host.name == "outbound|80|default/quotes"
        for cluster in host.routes[0].route.weighted_clusters.clusters]
    check("the split is in the routes", [weight for _, weight in split] == [90, 10], split)
    check("the trust bundle comes by SDS", b"BEGIN CERTIFICATE" in
          first["secrets"]["martlet:bundle"].validation_context.trusted_ca.inline_string.encode())

    # A policy is edited, and ten proxies acknowledge it.
    begin = time.monotonic()
    control.edit("routes.yaml", "weight: 90", "weight: 80")
    revision = until("a new revision", 2, lambda: (r := control.get("/api/v1/status")["revision"]) > 1 and r)
    listed = until("the edit is acknowledged", 2, in_step)
    wall = time.monotonic() - begin
    lag = max(p.get("lagMilliseconds", 0) for p in listed["proxies"])
    check("an edit is acknowledged by ten proxies within a second", wall < 1, f"{wall * 1000:.0f} ms, lag {lag} ms")
    check("only the routes were sent", [proxy.order[-1] for proxy in proxies] == ["routes"] * 10)
    history = control.get(f"/api/v1/revisions/{revision}")
    check("the history names the change", history["changes"] == [
        {"action": "changed", "kind": "HTTPRoute", "namespace": "default", "name": "quotes"}])

    # A broken file changes nothing.
    control.edit("routes.yaml", "weight: 80", "weight: many")
    refused = until("the broken file is reported", 2, lambda: control.get("/api/v1/status").get("refused"))
    check("a broken file is reported by its place", "routes.yaml:10:43: spec.rules[0].backendRefs[0].weight: " in
          refused["errors"][0], refused["errors"][0][-70:])
    check("and changes nothing", control.get("/api/v1/status")["revision"] == revision)
    control.edit("routes.yaml", "weight: many", "weight: 80")
    until("the repaired file clears the report", 2, lambda: not control.get("/api/v1/status").get("refused"))

    # A proxy that refuses.
    odd = Proxy(plain, "portal", 50, refuse="clusters")

    def odd_refusal():
        for proxy in control.get("/api/v1/proxies")["proxies"]:
            if proxy["id"].endswith(f"{50:08x}"):
                return [t["lastRefusal"]["message"] for t in proxy["types"] if t.get("lastRefusal")]

    check("a refusal is shown", until("the refusal", 2, odd_refusal) == ["refused by the check"])
    check("and not answered by the same again", odd.order.count("clusters") == 1)
    odd.close()

    # A sidecar that leaves is no endpoint any more, after its grace.
    gone = proxies.pop(6)
    gone.close()
    until("its endpoint goes", 6, lambda: endpoints(proxies[0], orders) == 1)
    check("a sidecar that left is no endpoint any more", True)

    # Tokens and certificates.
    environment = dict(os.environ, MARTLET_CONTROL_URL=f"http://{control.ports['http']}")
    make = [martlet, "token", "create", "default/orders", "--admin-token-file", f"{control.data}/admin-token"]
    token = subprocess.run(make, env=environment, capture_output=True, text=True, check=True).stdout
    check("martlet prints the token alone", token.startswith("mjt_") and token.count("\n") == 1)
    token = token.strip()
    bundle = open(f"{control.data}/trust-bundle.pem", "rb").read()
    override = [("grpc.ssl_target_name_override", "control.martlet")]
    ca = grpc.secure_channel(control.ports["ca"], grpc.ssl_channel_credentials(bundle), override)
    key = ec.generate_private_key(ec.SECP256R1())
    check("no token, no certificate", refusal(lambda: sign(ca, key, "", "default/orders")) == "UNAUTHENTICATED")
    check("a token is for one service",
          refusal(lambda: sign(ca, key, token, "default/payments")) == "PERMISSION_DENIED")
    chain, root = sign(ca, key, token, "default/orders")
    leaf = x509.load_pem_x509_certificate(chain[0])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    check("the certificate says who it is, not what was asked for",
          names.get_values_for_type(x509.UniformResourceIdentifier)
          == ["spiffe://brokerage.example/ns/default/sa/orders"])
    check("the root is the bundle's", root == bundle)
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(bundle))
    check("a token is spent once", refusal(lambda: sign(ca, key, token, "default/orders")) == "PERMISSION_DENIED")

    # Mutual TLS.
    def secure(chain, key):
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        credentials = grpc.ssl_channel_credentials(bundle, pem, b"".join(chain))
        return grpc.secure_channel(control.ports["xds_tls"], credentials, override)

    def ends_with(channel, service):
        proxy = Proxy(channel, service, 60)
        proxy.ended.wait(5)
        return proxy.error.code().name if proxy.error else None

    nobody = grpc.secure_channel(control.ports["xds_tls"], grpc.ssl_channel_credentials(bundle), override)
    check("without a certificate: refused", ends_with(nobody, "orders") == "UNAVAILABLE")
    foreign_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    foreign = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(foreign_key.public_key())
        .serial_number(1).not_valid_before(leaf.not_valid_before_utc).not_valid_after(leaf.not_valid_after_utc)
        .add_extension(names, critical=True).sign(foreign_key, hashes.SHA256()))
    stranger = secure([foreign.public_bytes(serialization.Encoding.PEM)], foreign_key)
    check("with the certificate of a stranger: refused", ends_with(stranger, "orders") == "UNAVAILABLE")
    mutual = secure(chain, key)
    check("as another service: refused", ends_with(mutual, "payments") == "PERMISSION_DENIED")
    known = Proxy(mutual, "orders", 61)
    until("the right certificate gets everything", 5, lambda: "outbound" in known.held["routes"])
    check("with the right certificate: served", True)
    identities = [p.get("identity") for p in control.get("/api/v1/proxies")["proxies"]]
    check("the fleet shows the identity", "spiffe://brokerage.example/ns/default/sa/orders" in identities)
    renewed, _ = sign(mutual, ec.generate_private_key(ec.SECP256R1()))
    check("a certificate renews itself", x509.load_pem_x509_certificate(renewed[0]).serial_number
          != leaf.serial_number)
    check("not as another service", refusal(lambda: sign(mutual, key, "", "default/payments")) == "PERMISSION_DENIED")

    # The operator's side.
    table = subprocess.run([martlet, "status"], env=environment, capture_output=True, text=True, check=True).stdout
    check("martlet status lists the proxies", table.count("in step") == 10, table.splitlines()[0])
    route = json.loads(subprocess.run(
        [martlet, "get", "httproutes", "quotes", "-o", "json"], env=environment, capture_output=True, text=True,
        check=True).stdout)
    check("martlet get shows what is in force", route["spec"]["rules"][0]["backendRefs"][0]["weight"] == 80)
    request = urllib.request.Request(
        f"http://{control.ports['http']}/api/v1/resources/Service/default/orders", method="DELETE", headers={
            "authorization": "Bearer " + open(f"{control.data}/admin-token").read().strip()})
    try:
        urllib.request.urlopen(request, timeout=5)
        check("files are the truth", False)
    except urllib.error.HTTPError as error:
        detail = json.load(error)["detail"]
        check("files are the truth", error.code == 409 and "services.yaml" in detail, detail[-60:])
    check("metrics", "martlet_control_proxies 10" in control.get("/metrics"))

    # Restart: proxies find it again, and nobody's endpoints go.
    status, seconds = control.stop()
    check("SIGTERM ends it in well under a second", status == 0 and seconds < 0.8, f"{seconds * 1000:.0f} ms")
    for proxy in proxies + [known]:
        proxy.ended.wait(2)
        proxy.close()
    control.start()
    again = Proxy(grpc.insecure_channel(control.ports["xds"]), "portal", 0)
    until("everything after a restart", 5, lambda: "outbound" in again.held["routes"])
    until("the endpoints of before", 2, lambda: orders in again.held["endpoints"])
    check("after a restart the workloads of before are there", endpoints(again, orders) == 2)
    check("and the same root", open(f"{control.data}/trust-bundle.pem", "rb").read() == bundle)
    again.close()
    status, seconds = control.stop()
    check("it ends again", status == 0, f"{seconds * 1000:.0f} ms")


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[3] if len(sys.argv) > 3 else os.path.join(here, "../../../mesh-config/mesh")
    main(sys.argv[1], sys.argv[2], folder)
