#!/usr/bin/env python3
"""A proxy between callers and rate limit services written by others: Envoy's RLS and RLQS by grpcio.

    limit_services.py MARTLET_PROXY

Needs PyPI's grpcio and xds-protos. Every port is free, everything is on loopback, and all files lie in a folder that
goes away. Prints one line for each check; ends with status 1 at the first that fails.
"""

import concurrent.futures
import http.client
import http.server
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from envoy.service.rate_limit_quota.v3 import rlqs_pb2, rlqs_pb2_grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

from checks import check, until

TYPE = "type.googleapis.com/envoy."
FILTERS = TYPE + "extensions.filters.http."


class Limits(rls_pb2_grpc.RateLimitServiceServicer):
    """Refuses the user `bad`, takes long for `slow`."""

    def __init__(self):
        self.asked = []

    def ShouldRateLimit(self, request, context):
        user = request.descriptors[0].entries[0].value
        self.asked.append((request.domain, user))
        if user == "slow":
            time.sleep(2)
        answer = rls_pb2.RateLimitResponse(overall_code=rls_pb2.RateLimitResponse.OK)
        answer.request_headers_to_add.add(key="x-user-known", value=user)
        if user == "bad":
            answer.overall_code = rls_pb2.RateLimitResponse.OVER_LIMIT
            answer.raw_body = b"not so fast"
        return answer


class Quotas(rlqs_pb2_grpc.RateLimitQuotaServiceServicer):
    """Keeps reports; sends what `assign` is given on the stream that is open."""

    def __init__(self):
        self.reports, self.streams, self.open = [], 0, None

    def StreamRateLimitQuotas(self, requests, context):
        self.streams += 1
        out = self.open = queue.Queue()

        def read():
            try:
                for report in requests:
                    for usage in report.bucket_quota_usages:
                        self.reports.append((report.domain, dict(usage.bucket_id.bucket), usage))
            except grpc.RpcError:
                pass
            out.put(None)

        threading.Thread(target=read, daemon=True).start()
        while True:
            answer = out.get()
            if answer is None:
                return
            yield answer

    def assign(self, bucket, per_second=None, lifetime=None, abandon=False):
        answer = rlqs_pb2.RateLimitQuotaResponse()
        action = answer.bucket_action.add()
        action.bucket_id.bucket.update(bucket)
        if abandon:
            action.abandon_action.SetInParent()
        else:
            strategy = action.quota_assignment_action.rate_limit_strategy
            strategy.requests_per_time_unit.requests_per_time_unit = per_second
            strategy.requests_per_time_unit.time_unit = 1
            if lifetime is not None:
                action.quota_assignment_action.assignment_time_to_live.FromMilliseconds(int(lifetime * 1000))
        self.open.put(answer)

    def used(self, bucket):
        found = [u for _, b, u in self.reports if b == bucket]
        return sum(u.num_requests_allowed for u in found), sum(u.num_requests_denied for u in found)


class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def do_GET(self):
        Application.seen.append(dict(self.headers))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def serve(limits, quotas, port=0):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
    rls_pb2_grpc.add_RateLimitServiceServicer_to_server(limits, server)
    rlqs_pb2_grpc.add_RateLimitQuotaServiceServicer_to_server(quotas, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


def cluster(name, port, is_grpc=False):
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    result = {"name": name, "connect_timeout": "1s",
              "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}}
    if is_grpc:
        name = "extensions.upstreams.http.v3.HttpProtocolOptions"
        result["typed_extension_protocol_options"] = {
            "envoy." + name: {"@type": TYPE + name, "explicit_http_config": {"http2_protocol_options": {}}}}
    return result


def configuration(service, application):
    grpc_service = {"envoy_grpc": {"cluster_name": "services"}}

    def field(name):
        return {"name": "field", "typed_config": {"@type": TYPE + "type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": name}}

    bucket = {
        "@type": FILTERS + "rate_limit_quota.v3.RateLimitQuotaBucketSettings",
        "bucket_id_builder": {"bucket_id_builder": {
            "name": {"string_value": "tenant"}, "tenant": {"custom_value": field("x-tenant")}}},
        "reporting_interval": "0.2s",
        "no_assignment_behavior": {"fallback_rate_limit": {"blanket_rule": "ALLOW_ALL"}},
        "expired_assignment_behavior": {"fallback_rate_limit": {"blanket_rule": "DENY_ALL"}},
    }
    quota = {
        "@type": FILTERS + "rate_limit_quota.v3.RateLimitQuotaFilterConfig", "domain": "shares",
        "rlqs_server": grpc_service,
        "filter_enabled": {"default_value": {"numerator": 100}}, "filter_enforced": {"default_value": {"numerator": 100}},
        "bucket_matchers": {"matcher_list": {"matchers": [{
            "predicate": {"single_predicate": {"input": field("x-tenant"), "value_match": {"safe_regex": {"google_re2": {}, "regex": ".+"}}}},
            "on_match": {"action": {"name": "bucket", "typed_config": bucket}}}]}},
    }
    limit = {
        "@type": FILTERS + "ratelimit.v3.RateLimit", "domain": "calls", "timeout": "0.5s",
        "rate_limit_service": {"transport_api_version": "V3", "grpc_service": grpc_service}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "application", "rate_limits": [
        {"actions": [{"request_headers": {"header_name": "x-user", "descriptor_key": "user"}}]}]}}
    manager = {
        "@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "limit", "typed_config": limit}, {"name": "quota", "typed_config": quota},
            {"name": "router", "typed_config": {"@type": FILTERS + "router.v3.Router"}}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {
        "admin": {"address": address},
        "static_resources": {
            "listeners": [{"name": "front", "address": address, "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
            "clusters": [cluster("application", application), cluster("services", service, is_grpc=True)]}}


class Proxy:
    def __init__(self, binary, folder, config):
        path, admin = os.path.join(folder, "proxy.yaml"), os.path.join(folder, "admin")
        with open(path, "w") as out:
            json.dump(config, out)
        self.process = subprocess.Popen([binary, "--config-path", path, "--concurrency", "2", "--admin-address-path", admin])
        until("the proxy starts", 10, lambda: os.path.exists(admin) and open(admin).read())
        self.admin = open(admin).read().strip()
        listeners = until("its listeners are known", 10, lambda: self.get(self.admin, "/listeners"))
        self.front = listeners.split("::")[1].strip().splitlines()[0]

    @staticmethod
    def get(address, path, **fields):
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in fields.items()})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return body if path == "/listeners" else (answer.status, body)

    def call(self, **fields):
        return self.get(self.front, "/", **fields)


def main(binary):
    limits, quotas = Limits(), Quotas()
    server, port = serve(limits, quotas)
    application = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    threading.Thread(target=application.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        proxy = Proxy(binary, folder, configuration(port, application.server_port))
        try:
            ask(proxy, limits)
            share(proxy, quotas)
            server.stop(None).wait()
            check("without services calls go on", proxy.call(x_user="bad")[0] == 200)
            server, _ = serve(limits, quotas, port)
            until("the stream comes back", 15, lambda: proxy.call(x_tenant="t")[0] and quotas.streams >= 2)
            until("and what was used meanwhile is told", 5, lambda: quotas.used({"name": "tenant", "tenant": "t"})[0] > 0)
        finally:
            proxy.process.terminate()
            proxy.process.wait()
            server.stop(None)
    print("all good")


def ask(proxy, limits):
    check("a call within its limit", proxy.call(x_user="good")[0] == 200)
    check("is marked by the service", Application.seen[-1].get("x-user-known") == "good")
    check("one beyond is refused", proxy.call(x_user="bad") == (429, "not so fast"))
    started = time.monotonic()
    check("a slow service lets through", proxy.call(x_user="slow")[0] == 200)
    check("after the filter's time", 0.4 < time.monotonic() - started < 1.5)
    check("the service was asked in its domain", limits.asked == [("calls", "good"), ("calls", "bad"), ("calls", "slow")])


def share(proxy, quotas):
    bucket = {"name": "tenant", "tenant": "a"}
    check("without a share a tenant is let through", proxy.call(x_tenant="a")[0] == 200)
    until("its first request is told at once", 3, lambda: quotas.used(bucket) == (1, 0))
    quotas.assign(bucket, per_second=0)
    until("a share of nothing refuses", 3, lambda: proxy.call(x_tenant="a")[0] == 429)
    check("another tenant has another bucket", proxy.call(x_tenant="b")[0] == 200)
    quotas.assign(bucket, per_second=20)
    until("a larger share lets through", 3, lambda: proxy.call(x_tenant="a")[0] == 200)
    end, passed = time.monotonic() + 3, 0
    while time.monotonic() < end:
        passed += proxy.call(x_tenant="a")[0] == 200
    check("so many as it says, over both workers", 54 <= passed <= 64, passed)
    quotas.assign(bucket, per_second=1000, lifetime=0.3)
    until("a share that has expired", 3, lambda: proxy.call(x_tenant="a")[0] == 429)
    quotas.assign(bucket, abandon=True)
    until("a bucket that is given up begins anew", 3, lambda: proxy.call(x_tenant="a")[0] == 200)
    allowed, denied = until("all is reported", 3, lambda: quotas.used(bucket))
    check("refusals too", allowed > 54 and denied > 10, (allowed, denied))


if __name__ == "__main__":
    main(sys.argv[1])
