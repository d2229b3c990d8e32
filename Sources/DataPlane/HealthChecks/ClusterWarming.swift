import MeshPrimitives

/// Clusters that come with health checks while others are in use already: they are not used before each of their
/// endpoints has been asked once, as in Envoy, but no longer than `timeMax`. One that is in use stays in use, whatever
/// becomes of it.
public struct ClusterWarming {
    /// Envoy bounds the wait for a cluster's endpoints by as much (`initial_fetch_timeout`).
    public static let timeMax = Duration.seconds(15)

    private var used: Set<String> = []
    private var ends: [String: MonotonicInstant] = [:]

    public init() {}

    public struct Outcome: Equatable {
        /// Not to be used yet.
        public var warming: Set<String> = []
        /// Of those the ones that were not waited for until now.
        public var begun: Set<String> = []
        /// To be used although not all of their endpoints have been asked.
        public var expired: [String] = []

        public init() {}
    }

    /// - Parameter clusters: all that there are.
    /// - Parameter isServing: false as long as nobody is let in: nothing needs to be kept back then.
    public mutating func update(
        _ clusters: [(name: String, hasChecks: Bool)], isServing: Bool, at now: MonotonicInstant,
        isChecked: (String) -> Bool
    ) -> Outcome {
        var outcome = Outcome()
        var next: [String: MonotonicInstant] = [:]
        for (name, hasChecks) in clusters {
            guard isServing, hasChecks, !used.contains(name), !isChecked(name) else { continue }
            let end = ends[name] ?? now.advanced(by: Self.timeMax)
            if now >= end {
                outcome.expired.append(name)
                continue
            }
            if ends[name] == nil { outcome.begun.insert(name) }
            next[name] = end
        }
        ends = next
        outcome.warming = Set(next.keys)
        used = Set(minimumCapacity: clusters.count)
        for (name, _) in clusters where next.isEmpty || next[name] == nil { used.insert(name) }
        return outcome
    }

    public func isWarming(_ cluster: String) -> Bool { ends[cluster] != nil }
    public func contains(where isWanted: (String) -> Bool) -> Bool { ends.keys.contains(where: isWanted) }
}
