"""Bootstraps in Envoy's API, for Martlet and for Envoy: the same resources, but for the trace context, which Envoy makes
with a tracer and Martlet with a filter of its own."""

import json

import policies
from hops import SERVER_NAME, TRUST, host_of, path_of

EXTENSIONS = "type.googleapis.com/envoy.extensions"


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def bootstrap(hop, folder, is_martlet):
    clusters = [cluster("origin" if index == 0 else f"cluster-{index}", hop, folder) for index in range(hop.clusters)]
    if not is_martlet or "tracing" in hop.extras:
        clusters.append(cluster("collector", hop, folder))
    network = tcp_filter() if hop.inside == "tcp" else http_filter(hop, is_martlet)
    chain = {"filters": [network]}
    if hop.accepts_tls:
        chain["transport_socket"] = tls("DownstreamTlsContext", folder, "callee", "caller", hop.inside)
    return json.dumps({
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": address(0)},
        "static_resources": {
            "listeners": [{"name": "main", "address": address(hop.listen), "filter_chains": [chain]}],
            "clusters": clusters}})


def cluster(name, hop, folder):
    made = {
        "name": name,
        "type": "STATIC",
        # Under callgrind a handshake takes a tenth of a second, and sixteen begin at once.
        "connect_timeout": "30s",
        "circuit_breakers": {"thresholds": [{
            "max_connections": 1024, "max_pending_requests": 1024, "max_requests": 1024,
            "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3}}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{
            "lb_endpoints": [{"endpoint": {"address": address(hop.target)}}]}]}}
    if hop.outside == "h2":
        made["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}}
    if hop.speaks_tls:
        made["transport_socket"] = tls("UpstreamTlsContext", folder, "caller", "callee", hop.outside)
    if "outlier" in hop.extras:
        made["outlier_detection"] = {"consecutive_5xx": 5, "interval": "10s", "base_ejection_time": "30s"}
    if "health" in hop.extras:
        made["health_checks"] = [{
            "timeout": "1s", "interval": "5s", "unhealthy_threshold": 3, "healthy_threshold": 2,
            "http_health_check": {"path": "/64"}}]
    if "ring hash" in hop.extras:
        made["lb_policy"] = "RING_HASH"
    if "breaker" in hop.extras:
        made.setdefault("typed_extension_protocol_options", {})["martlet.cluster"] = {
            "@type": "type.googleapis.com/martlet.v1.Cluster",
            "breaker": {"consecutive_failures": 10, "failure_rate": 50, "slow_call_duration": "5s", "slow_call_rate": 50}}
    return made


def tls(kind, folder, own, peer, protocol):
    context = {
        "@type": f"{EXTENSIONS}.transport_sockets.tls.v3.{kind}",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "alpn_protocols": ["h2"] if protocol == "h2" else ["http/1.1"],
            "tls_certificates": [{
                "certificate_chain": {"filename": f"{folder}/{own}.pem"},
                "private_key": {"filename": f"{folder}/{own}.key"}}],
            "validation_context": {
                "trusted_ca": {"filename": f"{folder}/root.pem"},
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": TRUST + peer}}]}}}
    context.update({"require_client_certificate": True} if kind == "DownstreamTlsContext" else {"sni": SERVER_NAME})
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def tcp_filter():
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": f"{EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "bench", "cluster": "origin"}}


def http_filter(hop, is_martlet):
    filters = [policies.http_filter(extra) for extra in hop.extras if policies.http_filter(extra)]
    filters += [rate_limit(), {"name": "envoy.filters.http.router", "typed_config": {
        "@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}}]
    if is_martlet and "tracing" not in hop.extras:
        filters.insert(0, {"name": "martlet.policy", "typed_config": {
            "@type": "type.googleapis.com/martlet.v1.Policy",
            "trace_context": {"sampled": {"numerator": 1, "denominator": "HUNDRED"}, "start_w3c": True}}})
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "HTTP2" if hop.inside == "h2" else "HTTP1",
        "http_filters": filters,
        "route_config": {"name": "bench", "virtual_hosts": virtual_hosts(hop)}}
    if hop.inside == "h2":
        manager["http2_protocol_options"] = {"max_concurrent_streams": 200}
    if not is_martlet:
        # Nothing is sampled, so nothing is ever sent there; the tracer wants a name.
        manager["tracing"] = open_telemetry(0, {"grpc_service": {
            "envoy_grpc": {"cluster_name": "collector"}, "timeout": "0.25s"}})
    elif "tracing" in hop.extras:
        # The origin takes anything.
        manager["tracing"] = open_telemetry(1, {"http_service": {"http_uri": {
            "uri": f"http://127.0.0.1:{hop.target}/64", "cluster": "collector", "timeout": "0.25s"}}})
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def open_telemetry(percent, service):
    return {
        "client_sampling": {"value": percent}, "random_sampling": {"value": percent}, "overall_sampling": {"value": percent},
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig", "service_name": "bench", **service}}}


def rate_limit():
    return policies.extension("local_ratelimit", "LocalRateLimit", {"stat_prefix": "bench", **policies.RATE_LIMIT})


def virtual_hosts(hop):
    def host(name, domains, to):
        action = {
            "cluster": to, "timeout": "15s",
            "retry_policy": {"retry_on": "connect-failure,refused-stream,reset", "num_retries": 2}}
        route = {"match": {"prefix": "/"}, "route": action}
        for extra in hop.extras:
            policies.add_to_route(extra, route)
        return {"name": name, "domains": domains, "routes": [route]}

    hosts = [host(f"host-{index}", [host_of(index)], f"cluster-{index}") for index in range(1, hop.clusters)]
    hosts += [host(f"more-{index}", [f"more{index}.default"], "origin") for index in range(hop.hosts)]
    last = host("bench", ["*"], "origin")
    last["routes"] = [
        {"match": {"prefix": path_of(index)}, "route": last["routes"][0]["route"]} for index in range(hop.paths)] + last["routes"]
    return [*hosts, last]
