import XDSDiscovery

/// Counters of a `DiscoveryClient`, in the words of Envoy's statistics (`cluster_manager.cds.update_success` …).
public struct DiscoveryStatistics: Sendable, Equatable {
    public struct Kind: Sendable, Equatable {
        public var updateAttempt: UInt64 = 0
        public var updateSuccess: UInt64 = 0
        public var updateRejected: UInt64 = 0
        /// Streams that ended or could not be had while this kind was asked for.
        public var updateFailure: UInt64 = 0
        public var initFetchTimeout: UInt64 = 0
        /// Of the last accepted response.
        public var versionText = ""
    }

    /// `control_plane.connected_state`
    public internal(set) var isConnected = false
    /// Streams that were opened, and attempts that failed before.
    public internal(set) var streamCount: UInt64 = 0
    public internal(set) var failureCount: UInt64 = 0
    private var kinds = [Kind](repeating: Kind(), count: ResourceKind.allCases.count)

    public internal(set) subscript(kind: ResourceKind) -> Kind {
        get { kinds[kind.rawValue] }
        set { kinds[kind.rawValue] = newValue }
    }

    mutating func streamFailed() {
        isConnected = false
        failureCount += 1
        for index in kinds.indices where kinds[index].updateAttempt > 0 {
            kinds[index].updateFailure += 1
            kinds[index].updateAttempt += 1
        }
    }

    mutating func count(_ note: ADSClient.Note) {
        switch note {
        case .accepted(let kind, let version, _):
            self[kind].updateSuccess += 1
            self[kind].updateAttempt += 1
            self[kind].versionText = version
        case .refused(let kind, _, _):
            self[kind].updateRejected += 1
            self[kind].updateAttempt += 1
        case .notTakenUp(let kind, _, _): self[kind].updateRejected += 1
        case .timedOut(let kind, _): self[kind].initFetchTimeout += 1
        case .ignored, .ready: break
        }
    }

    /// A first request of a kind.
    mutating func asked(_ kind: ResourceKind) {
        if self[kind].updateAttempt == 0 { self[kind].updateAttempt = 1 }
    }
}
