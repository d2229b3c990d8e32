/// `LoadBalancerPolicy`: which endpoint of a service a request goes to. Without one they take turns. In shadow mode an
/// algorithm that needs no table chooses beside the one in force, and the choices are compared.
public struct LoadBalancerSettings: PolicySettings {
    public enum Algorithm: String, Sendable, CaseIterable {
        case roundRobin, leastRequest, peakEWMA, ringHash, maglev, random
    }

    public enum HashFunction: String, Sendable, CaseIterable { case xxHash, murmur2 }

    public enum Locality: String, Sendable, CaseIterable {
        /// Where an endpoint is does not matter.
        case ignore
        /// Endpoints in the caller's zone; those of other zones as these fail.
        case failover
    }

    /// What becomes of a request that asks for labels which no endpoint has.
    public enum SubsetFallback: String, Sendable, CaseIterable {
        /// It is answered with 503.
        case none
        /// It goes to any endpoint.
        case any
    }

    /// What a request is placed by.
    public struct HashKey: Sendable, Equatable {
        public enum Source: Sendable, Equatable {
            case header(String)
            case query(String)
            case sourceAddress
            case cookie(name: String, lifetime: Duration?, path: String?)
        }

        public let source: Source
        public let isTerminal: Bool
    }

    public var algorithm: Algorithm?
    public var choices: Int?
    public var decay: Duration?
    public var initialLatency: Duration?
    public var ringSizeMin: Int?
    public var ringSizeMax: Int?
    public var hashFunction: HashFunction?
    public var tableSize: Int?
    public var hashKeys: [HashKey]?
    public var slowStartWindow: Duration?
    public var slowStartWeightMin: Double?
    /// Percent of healthy endpoints below which health is ignored.
    public var panicThreshold: Double?
    public var locality: Locality?
    /// Only endpoints that have all of these.
    public var subsetLabels: [String: String]?
    public var subsetFallback: SubsetFallback?

    public init() {}

    public static var kind: ResourceKind { .loadBalancerPolicy }
    public static var targetKinds: [PolicyTarget.Kind] {
        [.mesh, .namespace, .service, .httpRoute, .grpcRoute]
    }
    public static var directions: [PolicyDirection] { [.outbound] }
    public static var runsInShadow: Bool { true }

    public static func policy(in specification: Resource.Specification) -> Policy<LoadBalancerSettings>? {
        guard case .loadBalancerPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: LoadBalancerSettings) -> LoadBalancerSettings {
        var result = self
        result.algorithm = algorithm ?? broader.algorithm
        result.choices = choices ?? broader.choices
        result.decay = decay ?? broader.decay
        result.initialLatency = initialLatency ?? broader.initialLatency
        result.ringSizeMin = ringSizeMin ?? broader.ringSizeMin
        result.ringSizeMax = ringSizeMax ?? broader.ringSizeMax
        result.hashFunction = hashFunction ?? broader.hashFunction
        result.tableSize = tableSize ?? broader.tableSize
        result.hashKeys = hashKeys ?? broader.hashKeys
        result.slowStartWindow = slowStartWindow ?? broader.slowStartWindow
        result.slowStartWeightMin = slowStartWeightMin ?? broader.slowStartWeightMin
        result.panicThreshold = panicThreshold ?? broader.panicThreshold
        result.locality = locality ?? broader.locality
        result.subsetLabels = subsetLabels ?? broader.subsetLabels
        result.subsetFallback = subsetFallback ?? broader.subsetFallback
        return result
    }

    /// The same key leads to the same endpoint.
    public var hashes: Bool { algorithm == .ringHash || algorithm == .maglev }

    static func read(_ fields: Fields) -> LoadBalancerSettings {
        var settings = LoadBalancerSettings()
        settings.algorithm = fields.choice("algorithm", Algorithm.self)
        fields.mapping("leastRequest") { fields -> Bool? in
            settings.choices = fields.integer("choices", in: 2...100)
            return true
        }
        fields.mapping("peakEWMA") { fields -> Bool? in
            settings.decay = fields.duration("decay", in: .milliseconds(1)...Duration.seconds(3600))
            settings.initialLatency = fields.duration(
                "initialLatency", in: .milliseconds(1)...Duration.seconds(3600))
            return true
        }
        fields.mapping("ringHash") { fields -> Bool? in
            settings.ringSizeMin = fields.integer("minSize", in: 1...8_388_608)
            settings.ringSizeMax = fields.integer("maxSize", in: 1...8_388_608)
            settings.hashFunction = fields.choice("function", HashFunction.self)
            if let least = settings.ringSizeMin, let most = settings.ringSizeMax, most < least {
                fields.report("maxSize", "is below minSize", "make it at least \(least)")
            }
            return true
        }
        fields.mapping("maglev") { fields -> Bool? in
            settings.tableSize = fields.integer("tableSize", in: 2...5_000_011)
            if let size = settings.tableSize, !isPrime(size) {
                fields.report("tableSize", "\(size) is not a prime number", "write one, such as 65537")
            }
            return true
        }
        settings.hashKeys = fields.list("hashKeys", countMax: 16) { readKey($0) }
        fields.mapping("slowStart") { fields -> Bool? in
            settings.slowStartWindow = fields.duration(
                "window", isRequired: true, in: .seconds(1)...Duration.seconds(86_400))
            settings.slowStartWeightMin = fields.percent("minWeight")
            return true
        }
        settings.panicThreshold = fields.percent("panicThreshold")
        settings.locality = fields.choice("locality", Locality.self)
        fields.mapping("subsets") { fields -> Bool? in
            settings.subsetLabels = fields.texts("labels", checkKey: Syntax.labelKey)
            settings.subsetFallback = fields.choice("fallback", SubsetFallback.self)
            if settings.subsetLabels == nil, settings.subsetFallback == nil {
                fields.report("labels", "is missing", "add the labels that endpoints must have")
            }
            return true
        }
        settings.check(fields)
        return settings
    }

    /// Parameters of another algorithm than the one that the policy names would have no effect.
    private func check(_ fields: Fields) {
        guard let algorithm else { return }
        let blocks: [(Algorithm, String)] = [
            (.leastRequest, "leastRequest"), (.peakEWMA, "peakEWMA"), (.ringHash, "ringHash"),
            (.maglev, "maglev"),
        ]
        for (owner, key) in blocks where owner != algorithm && fields.has(key) {
            fields.report(key, "has no effect with algorithm \(algorithm.rawValue)", "remove it")
        }
        if hashKeys != nil, algorithm != .ringHash, algorithm != .maglev {
            fields.report(
                "hashKeys", "has no effect with algorithm \(algorithm.rawValue)",
                "write ringHash or maglev, or remove it")
        }
        if slowStartWindow != nil, algorithm != .roundRobin, algorithm != .leastRequest {
            fields.report(
                "slowStart", "has no effect with algorithm \(algorithm.rawValue)",
                "write roundRobin or leastRequest, or remove it")
        }
    }

    private static func readKey(_ fields: Fields) -> HashKey? {
        var sources: [HashKey.Source] = []
        if let name = fields.checked("header", Syntax.headerName) { sources.append(.header(name)) }
        if let node = fields.node("query"), let name = fields.reader.string(node, fields.path(of: "query")) {
            sources.append(.query(name))
        }
        if fields.boolean("sourceAddress") == true { sources.append(.sourceAddress) }
        fields.mapping("cookie") { fields -> Bool? in
            guard let name = fields.checked("name", isRequired: true, Syntax.headerName) else { return nil }
            let lifetime = fields.duration("ttl", in: .zero...Duration.seconds(86_400 * 400))
            let path = fields.node("path").flatMap { fields.reader.string($0, fields.path(of: "path")) }
            sources.append(.cookie(name: name, lifetime: lifetime, path: path))
            return true
        }
        let isTerminal = fields.boolean("terminal") ?? false
        guard sources.count == 1, let source = sources.first else {
            fields.reader.report(
                fields.position, fields.path, "needs exactly one thing to hash",
                "write one of header, query, cookie, sourceAddress: true")
            return nil
        }
        return HashKey(source: source, isTerminal: isTerminal)
    }

    private static func isPrime(_ number: Int) -> Bool {
        var divisor = 2
        while divisor * divisor <= number {
            if number % divisor == 0 { return false }
            divisor += 1
        }
        return number > 1
    }
}
