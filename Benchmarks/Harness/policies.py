"""The policies of S10, each by itself, in Envoy's API: what it adds to the filters and to the route. (Those of clusters
stand in envoyapi.cluster.) None of them finds anything to do with the requests of the scenario."""

from hops import TRUST

FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
BUCKET = {"max_tokens": 1000000, "tokens_per_fill": 1000000, "fill_interval": "0.1s"}
RATE_LIMIT = {"token_bucket": BUCKET, "filter_enabled": ALWAYS, "filter_enforced": ALWAYS}


def extension(name, message, fields):
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{FILTERS}.{name}.v3.{message}", **fields}}


def http_filter(extra):
    """None: it is none."""
    if extra == "access policy":
        return extension("rbac", "RBAC", {"rules": {
            "action": "ALLOW", "policies": {f"rule-{number}": rule(number) for number in range(8)}}})
    if extra == "adaptive concurrency":
        return extension("adaptive_concurrency", "AdaptiveConcurrency", {"gradient_controller_config": {
            "sample_aggregate_percentile": {"value": 90},
            "concurrency_limit_params": {"concurrency_update_interval": "0.1s", "max_concurrency_limit": 10000},
            "min_rtt_calc_params": {"interval": "30s", "request_count": 50, "min_concurrency": 1000}}})
    if extra == "admission control":
        return extension("admission_control", "AdmissionControl", {
            "enabled": {"default_value": True, "runtime_key": "admission"}, "sampling_window": "30s", "success_criteria": {}})
    if extra == "fault":
        return extension("fault", "HTTPFault", {"abort": {
            "http_status": 503, "percentage": {"numerator": 100}}, "headers": [{"name": "x-fault", "present_match": True}]})
    if extra == "CORS":
        return extension("cors", "Cors", {})
    return None


def rule(number):
    """Of eight the last one fits, as a service with several callers has them."""
    return {
        "permissions": [{"and_rules": {"rules": [
            {"url_path": {"path": {"prefix": "/" if number == 7 else f"/v{number}/"}}},
            {"header": {"name": ":method", "string_match": {"exact": "GET"}}}]}}],
        "principals": [{"any": True} if number == 7 else {"authenticated": {"principal_name": {
            "exact": f"{TRUST}service-{number}"}}}]}


def add_to_route(extra, route):
    action = route["route"]
    if extra == "header match":
        route["match"]["headers"] = [{
            "name": "x-canary", "string_match": {"exact": "yes"}, "invert_match": True, "treat_missing_header_as_empty": True}]
    elif extra == "header changes":
        route["request_headers_to_add"] = [{"header": {"key": "x-mesh", "value": "bench"}}]
        route["response_headers_to_add"] = [{"header": {"key": "x-served-by", "value": "bench"}}]
    elif extra == "retries":
        action["retry_policy"].update({
            "per_try_timeout": "5s", "retry_on": "connect-failure,refused-stream,reset,gateway-error",
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
            "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]})
    elif extra == "hedging":
        action["retry_policy"]["per_try_timeout"] = "5s"
        action["hedge_policy"] = {"hedge_on_per_try_timeout": True}
    elif extra == "ring hash":
        action["hash_policy"] = [{"header": {"header_name": "user-agent"}}, {"connection_properties": {"source_ip": True}}]
    elif extra == "route limit":
        limit = extension("local_ratelimit", "LocalRateLimit", {
            "stat_prefix": "bench", **RATE_LIMIT,
            "descriptors": [{"entries": [{"key": "caller", "value": "bench"}], "token_bucket": BUCKET}],
            "rate_limits": [{"actions": [{"generic_key": {"descriptor_key": "caller", "descriptor_value": "bench"}}]}]})
        route.setdefault("typed_per_filter_config", {})[limit["name"]] = limit["typed_config"]
    elif extra == "CORS":
        policy = extension("cors", "CorsPolicy", {
            "allow_origin_string_match": [{"exact": "https://bench.example"}], "allow_methods": "GET"})
        route.setdefault("typed_per_filter_config", {})[policy["name"]] = policy["typed_config"]
