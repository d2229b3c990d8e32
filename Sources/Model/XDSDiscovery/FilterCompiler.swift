import MeshModel
import XDSSchema

// HTTP filters before the router, and what routes and virtual hosts say to them.
extension ResourceCompiler {
    /// An entry of `typed_per_filter_config`; nil if the type is none of these.
    mutating func routeFilter(_ name: String, _ node: ConfigNode) -> RouteFilter? {
        switch node.type {
        case XDS.CorsPolicy.messageType: RouteFilter(name: name, settings: .cors(corsPolicy(node)))
        case XDS.HTTPFault.messageType: RouteFilter(name: name, settings: .fault(fault(node)))
        case XDS.HeaderMutationPerRoute.messageType:
            RouteFilter(
                name: name,
                settings: .headerMutation(
                    mutations(node.child(XDS.HeaderMutationPerRoute.mutations), mostSpecificWins: false)))
        case XDS.LocalRateLimit.messageType:
            RouteFilter(name: name, settings: .localRateLimit(localRateLimit(node)))
        case XDS.RateLimitPerRoute.messageType:
            RouteFilter(name: name, settings: .globalRateLimit(globalRateLimitOverride(node)))
        default: nil
        }
    }

    // MARK: CORS

    private mutating func corsPolicy(_ node: ConfigNode) -> CORSPolicy {
        typealias F = XDS.CorsPolicy
        var policy = CORSPolicy()
        policy.origins = node.children(F.allowOriginStringMatch).compactMap { stringMatch($0) }
        policy.methods = node.message.text(F.allowMethods)
        policy.headers = node.message.text(F.allowHeaders)
        policy.exposedHeaders = node.message.text(F.exposeHeaders)
        policy.maxAge = node.message.text(F.maxAge)
        policy.allowsCredentials = node.message.wrappedBool(F.allowCredentials)
        policy.enabled = fraction(node.child(F.filterEnabled))
        policy.shadowEnabled = fraction(node.child(F.shadowEnabled))
        policy.forwardsOthers = node.message.wrappedBool(F.forwardNotMatchingPreflights)
        return policy
    }

    // MARK: Faults

    mutating func fault(_ node: ConfigNode) -> Fault {
        typealias F = XDS.HTTPFault
        var fault = Fault()
        if let delay = node.child(F.delay) {
            typealias D = XDS.FaultDelay
            fault.delay = delay.message.duration(D.fixedDelay).map { .fixed($0) } ?? .header
            fault.delayShare = delay.child(D.percentage).map { percent($0) } ?? .none
        }
        if let abort = node.child(F.abort) {
            typealias A = XDS.FaultAbort
            if abort.message.has(A.httpStatus) {
                fault.abort = .http(Int(abort.message.unsigned(A.httpStatus)))
            } else if abort.message.has(A.grpcStatus) {
                fault.abort = .grpc(Int(abort.message.unsigned(A.grpcStatus)))
            } else {
                fault.abort = .header
            }
            fault.abortShare = abort.child(A.percentage).map { percent($0) } ?? .none
        }
        if let rate = node.child(F.responseRateLimit) {
            typealias R = XDS.FaultRateLimit
            if let fixed = rate.message.message(R.fixedLimit) {
                fault.rate = .fixed(
                    min(Int(clamping: fixed.unsigned(XDS.FaultRateLimitFixedLimit.limitKbps)), 1 << 30))
            } else {
                fault.rate = .header
            }
            fault.rateShare = rate.child(R.percentage).map { percent($0) } ?? .none
        }
        fault.activeMax = node.message.wrappedUnsigned(F.maxActiveFaults).map { UInt32(clamping: $0) }
        fault.cluster = node.message.text(F.upstreamCluster)
        fault.headers = node.children(F.headers).compactMap { headerMatch($0) }
        fault.nodes = node.message.texts(F.downstreamNodes)
        return fault
    }

    // MARK: Header mutation

    mutating func headerMutation(_ node: ConfigNode) -> HeaderMutation {
        typealias F = XDS.HeaderMutationHeaderMutation
        return mutations(
            node.child(F.mutations), mostSpecificWins: node.message.bool(F.mostSpecificHeaderMutationsWins))
    }

    private mutating func mutations(_ node: ConfigNode?, mostSpecificWins: Bool) -> HeaderMutation {
        typealias F = XDS.Mutations
        var mutation = HeaderMutation()
        mutation.mostSpecificWins = mostSpecificWins
        guard let node else { return mutation }
        mutation.request = node.children(F.requestMutations).compactMap { self.mutation($0) }
        mutation.response = node.children(F.responseMutations).compactMap { self.mutation($0) }
        return mutation
    }

    private mutating func mutation(_ node: ConfigNode) -> HeaderEdit? {
        typealias F = XDS.MutationRulesHeaderMutation
        if let option = node.child(F.append) { return headerEdit(option) }
        if let match = node.child(F.removeOnMatch)?.child(XDS.HeaderMutationRemoveOnMatch.keyMatcher) {
            return stringMatch(match).map { .removeMatching($0) }
        }
        let name = node.message.text(F.remove)
        if isProtected(name) { add("'\(name)' may not be removed", at: node, F.remove) }
        return .remove(name: name.lowercased())
    }

    // MARK: Mirrors, internal redirects

    mutating func mirror(_ node: ConfigNode) -> Mirror? {
        typealias F = XDS.RouteActionRequestMirrorPolicy
        let (cluster, header) = (node.message.text(F.cluster), node.message.text(F.clusterHeader))
        if cluster.isEmpty == header.isEmpty {
            add("needs one of 'cluster' and 'cluster_header'", at: node)
            return nil
        }
        var mirror = Mirror(target: cluster.isEmpty ? .header(header.lowercased()) : .cluster(cluster))
        if !cluster.isEmpty { refer(to: cluster, node, F.cluster) }
        mirror.share = fraction(node.child(F.runtimeFraction)) ?? .all
        mirror.marksHost = !node.message.bool(F.disableShadowHostSuffixAppend)
        return mirror
    }

    mutating func internalRedirects(_ node: ConfigNode) -> InternalRedirects {
        typealias F = XDS.InternalRedirectPolicy
        var redirects = InternalRedirects()
        redirects.most = Int(clamping: node.message.wrappedUnsigned(F.maxInternalRedirects) ?? 1)
        let statuses = node.message.numbers(F.redirectResponseCodes).map { Int(clamping: $0) }
        // Others are left out, as Envoy does.
        if !statuses.isEmpty {
            redirects.statuses = statuses.filter { [301, 302, 303, 307, 308].contains($0) }
        }
        return redirects
    }
}
