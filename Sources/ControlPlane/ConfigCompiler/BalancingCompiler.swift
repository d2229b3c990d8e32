import MeshConfig
import XDSMessages

/// How a cluster's traffic spreads, and who is put aside, in the messages of Envoy's API. What Envoy has not is said
/// beside it to our own proxies, and to others the nearest that they can do.
struct BalancingCompiler {
    let settings: LoadBalancerSettings
    let isMartlet: Bool

    func apply(to cluster: inout Cluster, _ options: inout Martlet_V1_Cluster) {
        switch settings.algorithm ?? .roundRobin {
        case .roundRobin:
            cluster.lbPolicy = .roundRobin
            if let slowStart { cluster.roundRobinLbConfig.slowStartConfig = slowStart }
        case .leastRequest: setLeastRequest(&cluster)
        case .random: cluster.lbPolicy = .random
        case .peakEWMA:
            guard isMartlet else { return setLeastRequest(&cluster) }
            cluster.lbPolicy = .roundRobin
            options.peakEwma = peakEWMA
        case .ringHash:
            cluster.lbPolicy = .ringHash
            var ring = Cluster.RingHashLbConfig()
            if let size = settings.ringSizeMin { ring.minimumRingSize = .init(UInt64(size)) }
            if let size = settings.ringSizeMax { ring.maximumRingSize = .init(UInt64(size)) }
            if settings.hashFunction == .murmur2 { ring.hashFunction = .murmurHash2 }
            cluster.ringHashLbConfig = ring
        case .maglev:
            cluster.lbPolicy = .maglev
            if let size = settings.tableSize { cluster.maglevLbConfig.tableSize = .init(UInt64(size)) }
        }
        if let threshold = settings.panicThreshold {
            cluster.commonLbConfig.healthyPanicThreshold.value = threshold
        }
    }

    private var peakEWMA: Martlet_V1_Cluster.PeakEWMA {
        .with {
            if let decay = settings.decay { $0.decayTime = .init(decay) }
            if let latency = settings.initialLatency { $0.latencyDefault = .init(latency) }
        }
    }

    /// For our own proxies: what they compare their choices with.
    func setShadow(_ options: inout Martlet_V1_Cluster) {
        switch settings.algorithm {
        case .roundRobin: options.shadowBalancing = .init()
        case .leastRequest:
            options.shadowBalancing.algorithm = .leastRequest
            options.shadowBalancing.choices = UInt32(clamping: settings.choices ?? 0)
        case .random: options.shadowBalancing.algorithm = .random
        case .peakEWMA:
            options.shadowBalancing.algorithm = .peakEwma
            options.shadowBalancing.peakEwma = peakEWMA
        case .ringHash, .maglev, nil: break
        }
    }

    private func setLeastRequest(_ cluster: inout Cluster) {
        cluster.lbPolicy = .leastRequest
        if let choices = settings.choices {
            cluster.leastRequestLbConfig.choiceCount = .init(clamping: choices)
        }
        if settings.algorithm == .leastRequest, let slowStart {
            cluster.leastRequestLbConfig.slowStartConfig = slowStart
        }
    }

    private var slowStart: Cluster.SlowStartConfig? {
        settings.slowStartWindow.map { window in
            .with {
                $0.slowStartWindow = .init(window)
                if let least = settings.slowStartWeightMin { $0.minWeightPercent.value = least }
            }
        }
    }

    // MARK: Subsets

    /// Where endpoints and routes say what they have, and want.
    static let metadata = "envoy.lb"

    static func values(_ labels: [String: String]) -> Google_Protobuf_Struct {
        .with { $0.fields = labels.mapValues { .init(stringValue: $0) } }
    }

    /// Requests that ask for nothing go to any endpoint; what becomes of the others where nobody has the labels is the
    /// service's to say.
    func setSubsets(_ cluster: inout Cluster, _ keys: [[String]]) {
        guard !keys.isEmpty else { return }
        cluster.lbSubsetConfig.fallbackPolicy = .anyEndpoint
        cluster.lbSubsetConfig.subsetSelectors = keys.map { keys in
            .with {
                $0.keys = keys
                $0.fallbackPolicy = settings.subsetFallback == .any ? .anyEndpoint : .noFallback
            }
        }
    }

    /// For the routes that lead to the cluster.
    var hashPolicies: [Envoy_Config_Route_V3_RouteAction.HashPolicy] {
        guard settings.hashes else { return [] }
        return (settings.hashKeys ?? []).map { key in
            .with {
                switch key.source {
                case .header(let name): $0.header.headerName = name
                case .query(let name): $0.queryParameter.name = name
                case .sourceAddress: $0.connectionProperties.sourceIp = true
                case .cookie(let name, let lifetime, let path):
                    $0.cookie.name = name
                    if let lifetime { $0.cookie.ttl = .init(lifetime) }
                    if let path { $0.cookie.path = path }
                }
                $0.terminal = key.isTerminal
            }
        }
    }

    // MARK: Outlier detection

    static func apply(
        _ settings: OutlierDetectionSettings, to cluster: inout Cluster, _ options: inout Martlet_V1_Cluster,
        isMartlet: Bool
    ) {
        var detection = Envoy_Config_Cluster_V3_OutlierDetection()
        for (number, value) in settings.numbers { set(number, .init(clamping: value), &detection) }
        if let time = settings.interval { detection.interval = .init(time) }
        if let time = settings.baseEjectionTime { detection.baseEjectionTime = .init(time) }
        if let time = settings.maxEjectionTime { detection.maxEjectionTime = .init(time) }
        if let time = settings.maxEjectionTimeJitter { detection.maxEjectionTimeJitter = .init(time) }
        detection.splitExternalLocalOriginErrors = settings.splitExternalLocalOriginErrors ?? false
        if let always = settings.alwaysEjectOneHost { detection.alwaysEjectOneHost = .init(always) }
        if isMartlet { options.outliers.readsGrpcTrailers = true }
        if settings.keepLast ?? true {
            if isMartlet {
                options.outliers.keepLast = true
            } else if settings.alwaysEjectOneHost == nil {
                detection.alwaysEjectOneHost = .init(true)
            }
        }
        cluster.outlierDetection = detection
    }

    private static func set(
        _ number: OutlierDetectionSettings.Number, _ value: Google_Protobuf_UInt32Value,
        _ detection: inout Envoy_Config_Cluster_V3_OutlierDetection
    ) {
        switch number {
        case .consecutive5xx: detection.consecutive5Xx = value
        case .consecutiveGatewayFailure: detection.consecutiveGatewayFailure = value
        case .consecutiveLocalOriginFailure: detection.consecutiveLocalOriginFailure = value
        case .enforcingConsecutive5xx: detection.enforcingConsecutive5Xx = value
        case .enforcingConsecutiveGatewayFailure: detection.enforcingConsecutiveGatewayFailure = value
        case .enforcingConsecutiveLocalOriginFailure:
            detection.enforcingConsecutiveLocalOriginFailure = value
        case .enforcingSuccessRate: detection.enforcingSuccessRate = value
        case .enforcingLocalOriginSuccessRate: detection.enforcingLocalOriginSuccessRate = value
        case .enforcingFailurePercentage: detection.enforcingFailurePercentage = value
        case .enforcingFailurePercentageLocalOrigin: detection.enforcingFailurePercentageLocalOrigin = value
        case .successRateMinimumHosts: detection.successRateMinimumHosts = value
        case .successRateRequestVolume: detection.successRateRequestVolume = value
        case .successRateStdevFactor: detection.successRateStdevFactor = value
        case .failurePercentageThreshold: detection.failurePercentageThreshold = value
        case .failurePercentageMinimumHosts: detection.failurePercentageMinimumHosts = value
        case .failurePercentageRequestVolume: detection.failurePercentageRequestVolume = value
        case .maxEjectionPercent: detection.maxEjectionPercent = value
        }
    }
}
