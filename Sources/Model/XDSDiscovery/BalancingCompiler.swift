import MeshModel
import MeshPrimitives
import TrafficPolicy
import XDSSchema

// What envoy.config.cluster.v3.Cluster says about balancing and outlier detection.
extension ResourceCompiler {
    /// The bound of a ring's and a Maglev table's size.
    private static let ringSizeMax: UInt64 = 8 << 20

    mutating func balancing(_ node: ConfigNode, into cluster: inout ClusterValues) {
        typealias F = XDS.Cluster
        var balancing = ClusterBalancing()
        if let policy = node.child(F.loadBalancingPolicy) {
            balancing.localities = .ignored
            extensionPolicy(policy, into: &balancing)
        } else {
            legacyPolicy(node, into: &balancing)
        }
        if let common = node.child(F.commonLbConfig) { commonConfig(common, into: &balancing) }
        balancing.subsets = node.child(F.lbSubsetConfig).flatMap { subsets($0) }
        cluster.balancing = balancing
    }

    // MARK: lb_policy

    private mutating func legacyPolicy(_ node: ConfigNode, into balancing: inout ClusterBalancing) {
        typealias F = XDS.Cluster
        let policy = node.message.enumerated(F.lbPolicy)
        let configs: [(number: FieldNumber, policy: Int32, name: String)] = [
            (F.roundRobinLbConfig, 0, "ROUND_ROBIN"), (F.leastRequestLbConfig, 1, "LEAST_REQUEST"),
            (F.ringHashLbConfig, 2, "RING_HASH"), (F.maglevLbConfig, 5, "MAGLEV"),
        ]
        for config in configs where config.policy != policy && node.message.has(config.number) {
            add("needs 'lb_policy: \(config.name)'", at: node, config.number)
        }
        switch policy {
        case 1:
            let config = node.child(F.leastRequestLbConfig)
            typealias L = XDS.ClusterLeastRequestLbConfig
            balancing.policy = .leastLoaded(
                leastRequest(config, choices: L.choiceCount, bias: L.activeRequestBias))
            balancing.slowStart = config?.child(L.slowStartConfig).flatMap { slowStart($0) }
        case 2:
            typealias R = XDS.ClusterRingHashLbConfig
            ring(
                node.child(F.ringHashLbConfig), sizeMin: R.minimumRingSize, sizeMax: R.maximumRingSize,
                usesMurmur: { $0 == 1 }, R.hashFunction, into: &balancing)
        case 3: balancing.policy = .random
        case 5:
            maglev(node.child(F.maglevLbConfig), XDS.ClusterMaglevLbConfig.tableSize, into: &balancing)
        case 7: add("needs 'load_balancing_policy'", at: node, F.lbPolicy)
        default:
            let config = node.child(F.roundRobinLbConfig)
            balancing.policy = .roundRobin
            balancing.slowStart = config?.child(XDS.ClusterRoundRobinLbConfig.slowStartConfig).flatMap {
                slowStart($0)
            }
        }
    }

    private mutating func commonConfig(_ node: ConfigNode, into balancing: inout ClusterBalancing) {
        typealias F = XDS.ClusterCommonLbConfig
        if node.message.has(F.localityWeightedLbConfig) { balancing.localities = .weighted }
        if let zones = node.child(F.zoneAwareLbConfig) {
            typealias Z = XDS.ClusterCommonLbConfigZoneAwareLbConfig
            balancing.localities = .zoneAware(
                zoneAware(zones, Z.routingEnabled, Z.minClusterSize, Z.failTrafficOnPanic, force: nil))
        }
        if let hashing = node.child(F.consistentHashingLbConfig) {
            typealias C = XDS.ClusterCommonLbConfigConsistentHashingLbConfig
            balancing.hashesHostnames = hashing.message.bool(C.useHostnameForHashing)
            balancing.hashBalanceFactor = balanceFactor(hashing, C.hashBalanceFactor)
        }
    }

    // MARK: load_balancing_policy

    /// The first of the list counts.
    private mutating func extensionPolicy(_ node: ConfigNode, into balancing: inout ClusterBalancing) {
        let list = node.children(XDS.LoadBalancingPolicy.policies)
        let configs = list.compactMap {
            $0.child(XDS.LoadBalancingPolicyPolicy.typedExtensionConfig)?.child(
                XDS.TypedExtensionConfig.typedConfig)
        }
        guard let config = configs.first else {
            add("needs a policy with 'typed_extension_config.typed_config'", at: node)
            return
        }
        switch config.type {
        case XDS.RoundRobin.messageType:
            balancing.policy = .roundRobin
            balancing.slowStart = config.child(XDS.RoundRobin.slowStartConfig).flatMap { slowStart($0) }
            localities(config.child(XDS.RoundRobin.localityLbConfig), into: &balancing)
        case XDS.LeastRequest.messageType:
            typealias L = XDS.LeastRequest
            var settings = leastRequest(config, choices: L.choiceCount, bias: L.activeRequestBias)
            settings.scansAll =
                config.message.wrappedBool(L.enableFullScan) == true
                || config.message.enumerated(L.selectionMethod) == 1
            balancing.policy = .leastLoaded(settings)
            balancing.slowStart = config.child(L.slowStartConfig).flatMap { slowStart($0) }
            localities(config.child(L.localityLbConfig), into: &balancing)
        case XDS.Random.messageType:
            balancing.policy = .random
            localities(config.child(XDS.Random.localityLbConfig), into: &balancing)
        case XDS.RingHash.messageType:
            typealias R = XDS.RingHash
            ring(
                config, sizeMin: R.minimumRingSize, sizeMax: R.maximumRingSize, usesMurmur: { $0 == 2 },
                R.hashFunction, into: &balancing)
            if config.message.has(R.localityWeightedLbConfig) { balancing.localities = .weighted }
            consistentHashing(config.child(R.consistentHashingLbConfig), into: &balancing)
        case XDS.Maglev.messageType:
            typealias M = XDS.Maglev
            maglev(config, M.tableSize, into: &balancing)
            if config.message.has(M.localityWeightedLbConfig) { balancing.localities = .weighted }
            consistentHashing(config.child(M.consistentHashingLbConfig), into: &balancing)
        case XDS.WrrLocality.messageType:
            guard let inner = config.child(XDS.WrrLocality.endpointPickingPolicy) else {
                add("is missing", at: config, XDS.WrrLocality.endpointPickingPolicy)
                return
            }
            extensionPolicy(inner, into: &balancing)
            balancing.localities = .weighted
        default: add("the type '\(config.type.name)' is not supported here", at: config)
        }
    }

    private mutating func localities(_ node: ConfigNode?, into balancing: inout ClusterBalancing) {
        typealias F = XDS.LocalityLbConfig
        guard let node else { return }
        if node.message.has(F.localityWeightedLbConfig) { balancing.localities = .weighted }
        if let zones = node.child(F.zoneAwareLbConfig) {
            typealias Z = XDS.LocalityLbConfigZoneAwareLbConfig
            balancing.localities = .zoneAware(
                zoneAware(
                    zones, Z.routingEnabled, Z.minClusterSize, Z.failTrafficOnPanic,
                    force: Z.forceLocalityDirectRouting))
        }
    }

    private mutating func consistentHashing(_ node: ConfigNode?, into balancing: inout ClusterBalancing) {
        guard let node else { return }
        typealias C = XDS.ConsistentHashingLbConfig
        balancing.hashesHostnames = node.message.bool(C.useHostnameForHashing)
        balancing.hashBalanceFactor = balanceFactor(node, C.hashBalanceFactor)
    }

    private mutating func balanceFactor(_ node: ConfigNode, _ number: FieldNumber) -> UInt32 {
        guard let factor = node.message.wrappedUnsigned(number) else { return 0 }
        if factor < 100 { add("must be at least 100", at: node, number) }
        return UInt32(clamping: factor)
    }

    // MARK: Parts of both

    private mutating func leastRequest(_ node: ConfigNode?, choices: FieldNumber, bias: FieldNumber)
        -> LeastRequestSettings
    {
        var settings = LeastRequestSettings()
        guard let node else { return settings }
        if let count = node.message.wrappedUnsigned(choices) {
            settings.choices = UInt32(min(max(count, 1), 1024))
        }
        if let value = node.message.message(bias)?.double(XDS.RuntimeDouble.defaultValue) {
            if value < 0 { add("must not be below 0", at: node, bias) }
            settings.activeRequestBias = max(0, value)
        }
        return settings
    }

    private mutating func slowStart(_ node: ConfigNode) -> SlowStartSettings? {
        // The fields of both messages have the same numbers.
        typealias F = XDS.SlowStartConfig
        guard let window = node.message.duration(F.slowStartWindow), window > .zero else {
            add("must be above 0", at: node, F.slowStartWindow)
            return nil
        }
        var settings = SlowStartSettings(window: window.nanoseconds)
        if let value = node.message.message(F.aggression)?.double(XDS.RuntimeDouble.defaultValue) {
            if value <= 0 { add("must be above 0", at: node, F.aggression) }
            settings.aggression = value > 0 ? value : 1
        }
        if let percent = node.message.message(F.minWeightPercent)?.double(XDS.Percent.value) {
            settings.weightMin = min(max(percent, 0), 100) / 100
        }
        return settings
    }

    private mutating func ring(
        _ node: ConfigNode?, sizeMin: FieldNumber, sizeMax: FieldNumber, usesMurmur: (Int32) -> Bool,
        _ function: FieldNumber, into balancing: inout ClusterBalancing
    ) {
        let least = node?.message.wrappedUnsigned(sizeMin) ?? 1024
        let most = node?.message.wrappedUnsigned(sizeMax) ?? Self.ringSizeMax
        if let node, least > most {
            add("is above the maximum, \(most)", at: node, sizeMin)
        }
        if let node, most > Self.ringSizeMax {
            add("must be at most \(Self.ringSizeMax)", at: node, sizeMax)
        }
        balancing.policy = .hashed
        balancing.hashing = .ring(
            sizeMin: UInt32(clamping: min(least, Self.ringSizeMax)),
            sizeMax: UInt32(clamping: min(max(most, 1), Self.ringSizeMax)),
            function: usesMurmur(node?.message.enumerated(function) ?? 0) ? .murmur2 : .xxHash64)
    }

    private mutating func maglev(
        _ node: ConfigNode?, _ number: FieldNumber, into balancing: inout ClusterBalancing
    ) {
        let size = node?.message.wrappedUnsigned(number) ?? 65_537
        balancing.policy = .hashed
        guard size <= 5_000_011, Self.isPrime(size) else {
            if let node { add("must be a prime number of at most 5000011", at: node, number) }
            return
        }
        balancing.hashing = .maglev(tableSize: UInt32(size))
    }

    static func isPrime(_ number: UInt64) -> Bool {
        if number < 4 { return number > 1 }
        var divisor: UInt64 = 2
        while divisor * divisor <= number {
            if number % divisor == 0 { return false }
            divisor += 1
        }
        return true
    }

    private func zoneAware(
        _ node: ConfigNode, _ share: FieldNumber, _ size: FieldNumber, _ fails: FieldNumber,
        force: FieldNumber?
    ) -> ClusterBalancing.ZoneAware {
        var zones = ClusterBalancing.ZoneAware()
        if let percent = node.message.message(share)?.double(XDS.Percent.value) {
            zones.share = UInt32(min(max(percent, 0), 100).rounded())
        }
        if let least = node.message.wrappedUnsigned(size) { zones.clusterSizeMin = Int(clamping: least) }
        zones.failsTrafficOnPanic = node.message.bool(fails)
        if let force { zones.forcesOwnLocality = node.message.bool(force) }
        return zones
    }

    // MARK: Subsets

    private mutating func subsets(_ node: ConfigNode) -> SubsetSettings? {
        typealias F = XDS.ClusterLbSubsetConfig
        typealias S = XDS.ClusterLbSubsetConfigLbSubsetSelector
        let selectors = node.children(F.subsetSelectors).compactMap { selector -> SubsetSettings.Selector? in
            let keys = selector.message.texts(S.keys)
            if keys.isEmpty { add("must not be empty", at: selector, S.keys) }
            let fewer = selector.message.texts(S.fallbackKeysSubset)
            let fallback: SubsetSettings.Fallback? =
                switch selector.message.enumerated(S.fallbackPolicy) {
                case 1: SubsetSettings.Fallback.none
                case 2: .anyEndpoint
                case 3: .defaultSubset
                case 4: .keys(fewer)
                default: nil
                }
            if case .keys = fallback {
                if fewer.isEmpty || !Set(fewer).isStrictSubset(of: Set(keys)) {
                    add("must be some, but not all of 'keys'", at: selector, S.fallbackKeysSubset)
                }
            } else if !fewer.isEmpty {
                add("needs 'fallback_policy: KEYS_SUBSET'", at: selector, S.fallbackKeysSubset)
            }
            return SubsetSettings.Selector(
                keys, fallback: fallback, isSingleHost: selector.message.bool(S.singleHostPerSubset))
        }
        var settings = SubsetSettings(selectors)
        switch node.message.enumerated(F.fallbackPolicy) {
        case 1: settings.fallback = .anyEndpoint
        case 2: settings.fallback = .defaultSubset
        default: settings.fallback = .none
        }
        settings.defaultSubset = node.child(F.defaultSubset).map { metadataValues($0) } ?? [:]
        settings.isLocalityWeightAware = node.message.bool(F.localityWeightAware)
        settings.scalesLocalityWeight = node.message.bool(F.scaleLocalityWeight)
        settings.panicsToAny = node.message.bool(F.panicModeAny)
        settings.listsAsAny = node.message.bool(F.listAsAny)
        // Without selectors there is nothing to choose by (Envoy looks at the cluster as a whole then).
        return selectors.isEmpty ? nil : settings
    }

    /// Of a Struct; values that are objects are refused.
    mutating func metadataValues(_ node: ConfigNode) -> [String: MetadataValue] {
        var values: [String: MetadataValue] = [:]
        for (key, value) in node.entries(XDS.Struct.fields) { values[key] = metadataValue(value) }
        return values
    }

    private mutating func metadataValue(_ node: ConfigNode) -> MetadataValue {
        typealias V = XDS.Value
        let message = node.message
        if message.has(V.boolValue) { return .bool(message.bool(V.boolValue)) }
        if message.has(V.numberValue) { return .number(message.double(V.numberValue)) }
        if message.has(V.stringValue) { return .string(message.text(V.stringValue)) }
        if let list = node.child(V.listValue) {
            return .list(list.children(XDS.ListValue.values).map { metadataValue($0) })
        }
        if message.has(V.structValue) { add("an object is not supported here", at: node) }
        return .null
    }

    /// `metadata_match` of a route.
    mutating func subsetCriteria(_ node: ConfigNode?) -> [String: MetadataValue] {
        for (key, value) in node?.entries(XDS.Metadata.filterMetadata) ?? [] where key == "envoy.lb" {
            return metadataValues(value)
        }
        return [:]
    }

    // MARK: What a request is placed by

    mutating func hashPolicy(_ node: ConfigNode) -> HashPolicy? {
        typealias F = XDS.RouteActionHashPolicy
        let isTerminal = node.message.bool(F.terminal)
        if let header = node.child(F.header) {
            typealias H = XDS.RouteActionHashPolicyHeader
            var rewrite: HashPolicy.Rewrite?
            if let regex = header.child(H.regexRewrite), let checked = self.rewrite(regex) {
                rewrite = HashPolicy.Rewrite(pattern: checked.pattern, substitution: checked.substitution)
            }
            let name = header.message.text(H.headerName).lowercased()
            return HashPolicy(.header(name, rewrite: rewrite), isTerminal: isTerminal)
        }
        if let cookie = node.child(F.cookie) {
            typealias C = XDS.RouteActionHashPolicyCookie
            var source = HashPolicy.Cookie(
                name: cookie.message.text(C.name), lifetime: cookie.message.duration(C.ttl),
                path: cookie.message.text(C.path))
            source.attributes = cookie.message.messages(C.attributes).map {
                typealias A = XDS.RouteActionHashPolicyCookieAttribute
                return HashPolicy.Attribute(name: $0.text(A.name), value: $0.text(A.value))
            }
            return HashPolicy(.cookie(source), isTerminal: isTerminal)
        }
        if let connection = node.child(F.connectionProperties) {
            guard connection.message.bool(XDS.RouteActionHashPolicyConnectionProperties.sourceIp) else {
                return nil
            }
            return HashPolicy(.sourceAddress, isTerminal: isTerminal)
        }
        if let parameter = node.message.message(F.queryParameter) {
            let name = parameter.text(XDS.RouteActionHashPolicyQueryParameter.name)
            return HashPolicy(.queryParameter(name), isTerminal: isTerminal)
        }
        add("needs one of 'header', 'cookie', 'connection_properties', 'query_parameter'", at: node)
        return nil
    }

    // MARK: Outlier detection

    mutating func outliers(_ node: ConfigNode) -> OutlierSettings {
        typealias F = XDS.OutlierDetection
        let message = node.message
        var settings = OutlierSettings()
        func number(_ number: FieldNumber, _ field: inout UInt32) {
            if let value = message.wrappedUnsigned(number) { field = UInt32(clamping: value) }
        }
        func time(_ number: FieldNumber, _ field: inout Int64) {
            if let value = message.duration(number) { field = value.nanoseconds }
        }
        number(F.consecutive5xx, &settings.consecutive5xx)
        number(F.consecutiveGatewayFailure, &settings.consecutiveGatewayFailure)
        number(F.consecutiveLocalOriginFailure, &settings.consecutiveLocalOriginFailure)
        time(F.interval, &settings.interval)
        time(F.baseEjectionTime, &settings.baseEjectionTime)
        time(F.maxEjectionTime, &settings.maxEjectionTime)
        time(F.maxEjectionTimeJitter, &settings.maxEjectionTimeJitter)
        number(F.maxEjectionPercent, &settings.ejectionPercentMax)
        if message.wrappedBool(F.alwaysEjectOneHost) == true { settings.bound = .percentOrOne }
        number(F.enforcingConsecutive5xx, &settings.enforcingConsecutive5xx)
        number(F.enforcingConsecutiveGatewayFailure, &settings.enforcingConsecutiveGatewayFailure)
        number(F.enforcingConsecutiveLocalOriginFailure, &settings.enforcingConsecutiveLocalOriginFailure)
        number(F.enforcingSuccessRate, &settings.enforcingSuccessRate)
        number(F.enforcingLocalOriginSuccessRate, &settings.enforcingLocalOriginSuccessRate)
        number(F.enforcingFailurePercentage, &settings.enforcingFailurePercentage)
        number(F.enforcingFailurePercentageLocalOrigin, &settings.enforcingFailurePercentageLocalOrigin)
        number(F.successRateMinimumHosts, &settings.successRateMinimumHosts)
        number(F.successRateRequestVolume, &settings.successRateRequestVolume)
        number(F.successRateStdevFactor, &settings.successRateStdevFactor)
        number(F.failurePercentageThreshold, &settings.failurePercentageThreshold)
        number(F.failurePercentageMinimumHosts, &settings.failurePercentageMinimumHosts)
        number(F.failurePercentageRequestVolume, &settings.failurePercentageRequestVolume)
        settings.splitsLocalOriginErrors = message.bool(F.splitExternalLocalOriginErrors)
        settings.checkEndsEjection = message.wrappedBool(F.successfulActiveHealthCheckUnejectHost) ?? true
        if settings.maxEjectionTime > 0, settings.maxEjectionTime < settings.baseEjectionTime {
            add("must not be shorter than 'base_ejection_time'", at: node, F.maxEjectionTime)
            settings.maxEjectionTime = settings.baseEjectionTime
        }
        return settings
    }

    /// martlet.v1.Cluster
    func martletBalancing(_ node: ConfigNode, into cluster: inout ClusterValues) {
        typealias F = XDS.MartletCluster
        if let latency = node.message.message(F.peakEwma) {
            cluster.balancing.policy = .peakEWMA(peakEWMA(latency))
            cluster.balancing.hashing = nil
            cluster.balancing.slowStart = nil
        }
        cluster.shadowBalancing = node.message.message(F.shadowBalancing).map { shadow in
            typealias S = XDS.MartletClusterShadowBalancing
            switch shadow.enumerated(S.algorithm) {
            case 1:
                let choices = UInt32(clamping: shadow.unsigned(S.choices))
                return .leastRequest(choices: choices == 0 ? 2 : choices)
            case 2: return .random
            case 3: return .peakEWMA(peakEWMA(shadow.message(S.peakEwma)))
            default: return .roundRobin
            }
        }
        if let outliers = node.message.message(F.outliers) {
            typealias O = XDS.MartletClusterOutliers
            if outliers.bool(O.keepLast) { cluster.outliers?.bound = .percentOrOneNeverTheLast }
            cluster.outliers?.readsGRPCTrailers = outliers.bool(O.readsGrpcTrailers)
            cluster.outliersMode = outliers.enumerated(O.mode) == 1 ? .shadow : .enforce
        }
    }

    private func peakEWMA(_ message: ConfigMessage?) -> PeakEWMASettings {
        typealias P = XDS.MartletClusterPeakEWMA
        return PeakEWMASettings(
            decayTime: (message?.duration(P.decayTime) ?? .seconds(10)).nanoseconds,
            latencyDefault: (message?.duration(P.latencyDefault) ?? .milliseconds(10)).nanoseconds)
    }
}

extension LocalityName {
    /// envoy.config.core.v3.Locality
    init(_ message: ConfigMessage?) {
        typealias F = XDS.Locality
        self.init(
            region: message?.text(F.region) ?? "", zone: message?.text(F.zone) ?? "",
            subZone: message?.text(F.subZone) ?? "")
    }
}
