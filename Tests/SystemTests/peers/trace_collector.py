"""A collector of spans over gRPC by grpcio, and a proxy that sends to it: refused once, then taken.

Usage: trace_collector.py MARTLET-PROXY
"""

import concurrent.futures
import os
import subprocess
import sys
import tempfile
import urllib.request

import grpc

from checks import until

PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
CONFIG = """
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
layered_runtime: {layers: [{name: s, static_layer: {tracing.opentelemetry.min_flush_spans: 1}}]}
static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          tracing:
            provider:
              name: envoy.tracers.opentelemetry
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                service_name: shop
                grpc_service:
                  envoy_grpc: {cluster_name: otlp}
                  initial_metadata: [{key: x-key, value: secret}]
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}
  clusters:
  - name: otlp
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: otlp
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]
"""


class Collector(grpc.GenericRpcHandler):
    def __init__(self):
        self.calls, self.taken = 0, []

    def service(self, details):
        if details.method != PATH:
            return None
        return grpc.unary_unary_rpc_method_handler(self.export)

    def export(self, request, context):
        self.calls += 1
        metadata = dict(context.invocation_metadata())
        if metadata.get("x-key") != "secret":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key")
        if self.calls == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "come again")
        self.taken.append(request)
        return b""


def get(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
        return answer.read().decode()


def statistic(admin, name):
    for line in get(admin, "/stats").splitlines():
        if line.startswith(name + ": "):
            return int(line.split(": ")[1])
    return 0


def main(binary):
    collector = Collector()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((collector,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        config, address = os.path.join(folder, "proxy.yaml"), os.path.join(folder, "admin")
        with open(config, "w") as file:
            file.write(CONFIG % port)
        proxy = subprocess.Popen(
            [binary, "-c", config, "--admin-address-path", address, "--concurrency", "1"],
            stderr=subprocess.PIPE)
        try:
            until("the admin address", 15, lambda: os.path.exists(address) and os.path.getsize(address))
            with open(address) as file:
                admin = file.read().strip()
            until("readiness", 15, lambda: "main::" in get(admin, "/listeners"))
            listener = get(admin, "/listeners").split("main::")[1].splitlines()[0].strip()
            for number in range(20):
                get(listener, f"/item/{number}")
            until("twenty spans", 15, lambda: statistic(admin, "tracing.opentelemetry.spans_sent") == 20)
            whole = b"".join(collector.taken)
            assert all(f"/item/{number}".encode() in whole for number in range(20)), whole
            assert b"service.name" in whole and b"shop" in whole
            assert statistic(admin, "tracing.opentelemetry.reports_failed") == 1
            assert statistic(admin, "tracing.opentelemetry.spans_dropped") == 0
        finally:
            proxy.terminate()
            proxy.wait(10)
            server.stop(0)


main(sys.argv[1])
