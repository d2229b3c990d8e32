import MeshConfig
import Testing
import XDSMessages

@testable import ConfigCompiler

@Suite("Limits and faults reach the sidecars that carry them out")
struct RateLimitCompilerTests {
    private typealias Local = Envoy_Extensions_Filters_Http_LocalRatelimit_V3_LocalRateLimit
    private typealias Quota = Envoy_Extensions_Filters_Http_RateLimitQuota_V3_RateLimitQuotaFilterConfig
    private typealias Bucket = Envoy_Extensions_Filters_Http_RateLimitQuota_V3_RateLimitQuotaBucketSettings
    private typealias Fault = Envoy_Extensions_Filters_Http_Fault_V3_HTTPFault

    private let two = Bench.service("orders") + Bench.service("portal")

    private func limit(_ fields: String) -> String {
        Bench.policy("RateLimitPolicy", "kind: Service, name: orders", fields)
    }

    private func filters(_ bench: Bench, isMartlet: Bool = true, service: String = "orders") throws
        -> [HTTPFilter]
    {
        try bench.manager("inbound|8080", for: Bench.node(service, isMartlet: isMartlet)).httpFilters
    }

    private func local(_ bench: Bench, isMartlet: Bool = true) throws -> Local {
        let filter = try #require(
            try filters(bench, isMartlet: isMartlet).first { $0.name.hasSuffix("local_ratelimit") })
        return try Local(unpackingAny: filter.typedConfig)
    }

    private func quota(_ bench: Bench) throws -> Quota {
        let filter = try #require(try filters(bench).first { $0.name.hasSuffix("rate_limit_quota") })
        return try Quota(unpackingAny: filter.typedConfig)
    }

    private static let keys = """
        local: {requests: 100, per: 1s, burst: 20, perConnection: true, keys: [
          {identity: any, requests: 5}, {identity: default/portal, requests: 50, per: 1m, burst: 7},
          {method: POST, path: {value: /orders/}, headers: [{name: X-Tenant}, {name: x-kind, value: gold}], requests: 1},
          {address: any, requests: 9}]}, answer: {status: 503, headers: false, responseHeaders: {x-why: "1%"}}
        """

    @Test("A bucket for each key, found by one list of actions for keys of one shape")
    func keys() throws {
        let limit = try local(try Bench(two + self.limit(Self.keys)))
        #expect(limit.tokenBucket.maxTokens == 20 && limit.tokenBucket.tokensPerFill.value == 100)
        #expect(limit.localRateLimitPerDownstreamConnection && limit.rateLimitedAsResourceExhausted)
        #expect(limit.status.code.rawValue == 503 && limit.enableXRatelimitHeaders == .off)
        #expect(limit.responseHeadersToAdd.map(\.header.value) == ["1%%"])
        #expect(limit.maxDynamicDescriptors.value == 1024)
        let descriptors = limit.descriptors.map { $0.entries.map { "\($0.key)=\($0.value)" } }
        #expect(
            descriptors == [
                ["identity="], ["identity=spiffe://mesh.local/ns/default/sa/portal"],
                ["method=POST", "path=/orders*", "header:x-tenant=", "header:x-kind=gold"],
                ["remote_address="],
            ])
        #expect(limit.descriptors.map(\.tokenBucket.tokensPerFill.value) == [5, 50, 1, 9])
        #expect(limit.descriptors[1].tokenBucket.maxTokens == 7)
        #expect(limit.descriptors[1].tokenBucket.fillInterval.seconds == 60)
        #expect(limit.rateLimits.count == 3)
        let path = try #require(limit.rateLimits[1].actions[1].headerValueMatch.headers.first)
        #expect(path.name == ":path" && path.stringMatch.safeRegex.regex == "/orders([/?].*)?")
    }

    @Test("Martlet knows the caller by its connection, another proxy by a field that no caller can write")
    func identity() throws {
        let bench = try Bench(two + limit("local: {keys: [{identity: any, requests: 5}]}"))
        let own = try local(bench)
        #expect(
            own.rateLimits[0].actions[0].extension.name == "martlet.rate_limit_descriptors.caller_identity")
        #expect(!own.hasTokenBucket && !own.alwaysConsumeDefaultTokenBucket.value)
        #expect(try filters(bench).map(\.name).contains("envoy.filters.http.header_mutation") == false)
        let foreign = try local(bench, isMartlet: false)
        #expect(foreign.rateLimits[0].actions[0].requestHeaders.headerName == "x-martlet-peer-identity")
        #expect(foreign.tokenBucket.maxTokens == .max)
        let names = try filters(bench, isMartlet: false).map(\.name)
        #expect(
            names == [
                "envoy.filters.http.header_mutation", "envoy.filters.http.local_ratelimit",
                "envoy.filters.http.router",
            ])
        let manager = try bench.manager("inbound|8080", for: Bench.node("orders", isMartlet: false))
        #expect(
            manager.routeConfig.virtualHosts[0].requestHeadersToRemove == ["x-martlet-peer-identity"])
    }

    @Test(
        "A path of a key is matched by whole segments, without the query",
        arguments: [
            (RateLimitKey.Path.exact("/a.b"), "/a\\.b(\\?.*)?", "/a.b"),
            (.prefix("/a"), "/a([/?].*)?", "/a*"), (.prefix("/"), ".*", "/*"),
        ])
    func paths(path: RateLimitKey.Path, expression: String, name: String) {
        #expect(PathPattern(path).expression == expression && PathPattern(path).name == name)
    }

    @Test("A limit in shadow mode stands beside the one in force, and refuses nobody")
    func shadow() throws {
        let bench = try Bench(
            two + limit("local: {requests: 10}")
                + "---\napiVersion: martlet.mesh/v1\nkind: RateLimitPolicy\nmetadata: {name: tighter}\n"
                + "spec: {targetRef: {kind: Service, name: orders}, mode: shadow, local: {requests: 5}, "
                + "global: {requests: 7}}\n")
        let filters = try filters(bench)
        #expect(
            filters.map(\.name).prefix(3) == [
                "envoy.filters.http.local_ratelimit", "martlet.shadow.local_ratelimit",
                "martlet.shadow.rate_limit_quota",
            ])
        let (first, second) = (
            try Local(unpackingAny: filters[0].typedConfig), try Local(unpackingAny: filters[1].typedConfig)
        )
        #expect(first.tokenBucket.maxTokens == 10 && first.filterEnforced == .always)
        #expect(second.tokenBucket.maxTokens == 5 && second.filterEnforced == .never)
        #expect(second.enableXRatelimitHeaders == .off)
        #expect(try quota(bench).filterEnforced == .never)
        let limits = QuotaLimit.limits(
            of: ServiceID(namespace: "default", name: "orders"), in: bench.specification,
            PolicyIndex(bench.specification))
        #expect(limits == [QuotaLimit(scope: "shadow/service", name: "all", perSecond: 7)])
    }

    @Test(
        "A shared limit names the same buckets in the sidecar's configuration as in the hands of who shares")
    func quotas() throws {
        let bench = try Bench(
            two
                + limit(
                    "global: {requests: 600, per: 1m, onFailure: closed, keys: ["
                        + "{identity: default/portal, path: {value: /a}, requests: 50}, "
                        + "{identity: any, headers: [{name: x-tenant}], requests: 20}]}, answer: {status: 503}"
                ))
        let config = try quota(bench)
        #expect(
            config.domain == "default/orders" && config.rlqsServer.envoyGrpc.clusterName == "martlet:control")
        let matchers = config.bucketMatchers.matcherList.matchers
        #expect(matchers.count == 2)
        let first = matchers[0].predicate.andMatcher.predicate.map(\.singlePredicate.valueMatch)
        #expect(first[0].exact == "spiffe://mesh.local/ns/default/sa/portal")
        #expect(first[1].safeRegex.regex == "/a([/?].*)?")
        let limits = QuotaLimit.limits(
            of: ServiceID(namespace: "default", name: "orders"), in: bench.specification,
            PolicyIndex(bench.specification))
        #expect(limits.map(\.perSecond).sorted() == [10, 20, 50])
        let actions = matchers.map(\.onMatch) + [config.bucketMatchers.onNoMatch]
        for action in actions {
            let bucket = try Bucket(unpackingAny: action.action.typedConfig)
            let id = bucket.bucketIDBuilder.bucketIDBuilder
            #expect(
                limits.contains {
                    $0.scope == id[QuotaLimit.scopeKey]?.stringValue
                        && $0.name == id[QuotaLimit.limitKey]?.stringValue
                })
            #expect(bucket.reportingInterval.seconds == 1)
            #expect(bucket.denyResponseSettings.httpStatus.code.rawValue == 503)
            #expect(bucket.denyResponseSettings.grpcStatus.code == 8)
            #expect(bucket.noAssignmentBehavior.fallbackRateLimit.blanketRule == .denyAll)
            #expect(bucket.expiredAssignmentBehavior.fallbackRateLimit.blanketRule == .denyAll)
        }
        let open = try Bucket(unpackingAny: matchers[1].onMatch.action.typedConfig)
        #expect(
            open.bucketIDBuilder.bucketIDBuilder.keys.sorted()
                == ["header:x-tenant", "identity", "limit", "scope"])
    }

    @Test(
        "What happens without the control plane is what the policy says",
        arguments: ["open", "closed", "lastShare"])
    func failure(word: String) throws {
        let bench = try Bench(two + limit("global: {requests: 100, onFailure: \(word)}"))
        let action = try quota(bench).bucketMatchers.onNoMatch.action
        let bucket = try Bucket(unpackingAny: action.typedConfig)
        let (before, after) = (
            bucket.noAssignmentBehavior.fallbackRateLimit, bucket.expiredAssignmentBehavior
        )
        switch word {
        case "open":
            #expect(before.blanketRule == .allowAll && after.fallbackRateLimit.blanketRule == .allowAll)
        case "closed":
            #expect(before.blanketRule == .denyAll && after.fallbackRateLimit.blanketRule == .denyAll)
        default:
            #expect(before.tokenBucket.tokensPerFill.value == 1000)
            #expect(before.tokenBucket.fillInterval.seconds == 100)
            #expect(after.expiredAssignmentBehavior == .reuseLastAssignment(.init()))
        }
    }

    @Test("A port has a share of the service's limit, unless a policy names it")
    func scopes() throws {
        let ports = "{port: 80, name: web, targetPort: 8080}, {port: 81, name: admin, targetPort: 8081}"
        let policies =
            Bench.policy("RateLimitPolicy", "kind: Service, name: orders", "global: {requests: 100}")
            + "---\napiVersion: martlet.mesh/v1\nkind: RateLimitPolicy\nmetadata: {name: admin}\n"
            + "spec: {targetRef: {kind: Service, name: orders, sectionName: admin}, global: {requests: 5}}\n"
        let bench = try Bench(Bench.service("orders", ports) + policies)
        let limits = QuotaLimit.limits(
            of: ServiceID(namespace: "default", name: "orders"), in: bench.specification,
            PolicyIndex(bench.specification))
        #expect(
            limits == [
                QuotaLimit(scope: "port/admin", name: "all", perSecond: 5),
                QuotaLimit(scope: "service", name: "all", perSecond: 100),
            ])
    }

    @Test("Another proxy has shared limits once it says how it calls the control plane")
    func foreign() throws {
        let bench = try Bench(two + limit("global: {requests: 100}"))
        let names = try filters(bench, isMartlet: false).map(\.name)
        #expect(names == ["envoy.filters.http.router"])
    }

    @Test(
        "A rate becomes whole tokens in whole seconds, never more than it, and less by a thousandth at most from 0.3 a second upwards",
        arguments: [0.5, 1, 9.9, 10, 14.9, 33.3, 1000, 123_456.7])
    func strategies(perSecond: Double) {
        let bucket = Envoy_Type_V3_RateLimitStrategy(perSecond: perSecond).tokenBucket
        let again = Double(bucket.tokensPerFill.value) / Double(bucket.fillInterval.seconds)
        #expect(bucket.fillInterval.nanos == 0 && bucket.maxTokens >= 1)
        #expect(again <= perSecond * 1.000_001 && again >= perSecond * 0.999, "\(again)")
    }

    @Test("What has no rate is refused")
    func nothingLeft() {
        #expect(Envoy_Type_V3_RateLimitStrategy(perSecond: 0).blanketRule == .denyAll)
    }

    // MARK: Callers

    @Test("What a caller's sidecar is to keep to stands on its routes; its filter does nothing by itself")
    func outbound() throws {
        for isMartlet in [true, false] {
            let bench = try Bench(
                two + Bench.route("orders", "{name: slow, backendRefs: [{name: orders, port: 80}]}")
                    + limit(
                        "direction: outbound, local: {requests: 9, keys: [{method: POST, requests: 2}]}")
                    + "---\napiVersion: martlet.mesh/v1\nkind: RateLimitPolicy\nmetadata: {name: rule}\n"
                    + "spec: {targetRef: {kind: HTTPRoute, name: orders, sectionName: slow}, mode: shadow, "
                    + "local: {requests: 1}}\n")
            let node = try Bench.node(isMartlet: isMartlet)
            let names = ["envoy.filters.http.local_ratelimit", "martlet.shadow.local_ratelimit"]
            let filters = try bench.manager("outbound", for: node).httpFilters
            #expect(filters.map(\.name).prefix(2) == names[...])
            let idle = try Local(unpackingAny: filters[0].typedConfig)
            #expect(!idle.hasTokenBucket && !idle.hasFilterEnabled && !idle.statPrefix.isEmpty)
            let route = try #require(try bench.routes("orders", for: node).first)
            let limits = try names.map {
                try Local(unpackingAny: #require(route.typedPerFilterConfig[$0]))
            }
            #expect(limits[0].tokenBucket.maxTokens == 9 && limits[0].descriptors.count == 1)
            #expect(limits[0].filterEnforced.defaultValue.numerator == 100)
            #expect(limits[1].tokenBucket.maxTokens == 1 && limits[1].descriptors.count == 1)
            #expect(limits[1].filterEnforced.defaultValue.numerator == 0)
            let portal = try #require(try bench.routes("portal", for: node).first)
            #expect(portal.typedPerFilterConfig[names[0]] == nil)
            let inbound = try self.filters(bench, isMartlet: isMartlet)
            #expect(inbound.allSatisfy { !$0.name.contains("ratelimit") })
        }
    }

    @Test(
        "What a caller's sidecar cannot know is refused at its place",
        arguments: [
            ("global: {requests: 9}", "spec.global: callers' sidecars share no limit"),
            ("local: {keys: [{identity: any, requests: 1}]}", "spec.local.keys[0].identity: in the caller's"),
            ("local: {keys: [{address: any, requests: 1}]}", "spec.local.keys[0].address: in the caller's"),
        ])
    func outboundRefused(fields: String, message: String) {
        let error = #expect(throws: ConfigErrors.self) {
            try Bench(two + limit("direction: outbound, \(fields)"))
        }
        #expect(error?.description.contains(message) == true, "\(String(describing: error))")
    }

    // MARK: Faults

    @Test("A fault in shadow mode stands in a filter that our own proxies only decide in")
    func shadowFaults() throws {
        let bench = try Bench(
            two + Bench.route("orders", "{name: slow, backendRefs: [{name: orders, port: 80}]}")
                + Bench.policy(
                    "FaultPolicy", "kind: Service, name: orders", "mode: shadow, abort: {status: 500}")
                + "---\napiVersion: martlet.mesh/v1\nkind: FaultPolicy\nmetadata: {name: route}\n"
                + "spec: {targetRef: {kind: HTTPRoute, name: orders}, mode: shadow, delay: {duration: 1s}}\n")
        let name = "martlet.shadow.fault"
        let inbound = try filters(bench)
        let fault = try #require(inbound.first { $0.name == name })
        #expect(try Fault(unpackingAny: fault.typedConfig).abort.httpStatus == 500)
        let policy = try #require(inbound.first { $0.name == "martlet.policy" })
        #expect(try Martlet_V1_Policy(unpackingAny: policy.typedConfig).shadowFaults == [name])
        let outbound = try bench.manager("outbound", for: Bench.node()).httpFilters
        #expect(outbound.first?.name == name)
        let route = try #require(try bench.routes("orders", for: Bench.node()).first)
        let slow = try Fault(unpackingAny: #require(route.typedPerFilterConfig[name]))
        #expect(slow.delay.fixedDelay.seconds == 1 && !slow.hasAbort)
        #expect(route.typedPerFilterConfig["envoy.filters.http.fault"] == nil)
        let foreign = try Bench.node(isMartlet: false)
        #expect(try bench.manager("outbound", for: foreign).httpFilters.count == 1)
        #expect(try filters(bench, isMartlet: false).count == 1)
    }

    @Test("Faults are made up by the service's own sidecar; those of a route by its callers")
    func faults() throws {
        let bench = try Bench(
            two
                + Bench.route("orders", "{name: slow, backendRefs: [{name: orders, port: 80}]}")
                + Bench.policy(
                    "FaultPolicy", "kind: Service, name: orders",
                    "abort: {grpcStatus: 14, percentage: 0.5%}, headers: [{name: x-try, value: a.*, type: RegularExpression}]"
                )
                + "---\napiVersion: martlet.mesh/v1\nkind: FaultPolicy\nmetadata: {name: route}\n"
                + "spec: {targetRef: {kind: HTTPRoute, name: orders, sectionName: slow}, "
                + "delay: {duration: 250ms, percentage: 20%}}\n")
        let inbound = try filters(bench).first { $0.name == "envoy.filters.http.fault" }
        let fault = try Fault(unpackingAny: #require(inbound).typedConfig)
        #expect(fault.abort.grpcStatus == 14 && fault.abort.percentage.numerator == 5000)
        #expect(fault.headers.first?.stringMatch.safeRegex.regex == "a.*" && !fault.hasDelay)
        #expect(try filters(bench, service: "portal").allSatisfy { $0.name != "envoy.filters.http.fault" })
        let route = try #require(try bench.routes("orders", for: Bench.node()).first)
        let config = try #require(route.typedPerFilterConfig["envoy.filters.http.fault"])
        let slow = try Fault(unpackingAny: config)
        #expect(slow.delay.fixedDelay.nanos == 250_000_000 && slow.delay.percentage.numerator == 200_000)
        #expect(!slow.hasAbort)
        let outbound = try bench.manager("outbound", for: Bench.node()).httpFilters
        #expect(outbound.first?.name == "envoy.filters.http.fault")
    }

    @Test("Without a policy there is no filter")
    func nothing() throws {
        let bench = try Bench(two)
        #expect(try filters(bench).map(\.name) == ["martlet.policy", "envoy.filters.http.router"])
        #expect(
            try bench.manager("outbound", for: Bench.node()).httpFilters.map(\.name)
                == ["martlet.policy", "envoy.filters.http.router"])
    }
}
