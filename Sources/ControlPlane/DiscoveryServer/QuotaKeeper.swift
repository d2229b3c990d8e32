import AdminAPI
import CertificateAuthority
import ConfigCompiler
import GRPCCore
import Logging
import MeshConfig
import MeshPrimitives
import XDSMessages

/// Hands out the shares of mesh-wide limits: owns all streams of sidecars that report.
public actor QuotaKeeper {
    typealias Response = QuotaLedger.Response
    typealias StreamID = QuotaLedger.StreamID

    /// How often limits are divided anew.
    static let interval = Duration.milliseconds(500)
    /// How often a limit whose use has moved is.
    static let hurry = Duration.milliseconds(100)

    private struct Stream {
        let peer: Peer
        let mustMatch: Bool
        let queue: AsyncStream<Response>.Continuation
        /// Of the last report: later ones may leave it out.
        var domain = ""
    }

    private let logger: Logger
    private let start = ContinuousClock.now
    private var ledger = QuotaLedger()
    private var streams: [StreamID: Stream] = [:]
    private var admission = StreamAdmission()
    private var sharing: Task<Void, Never>?
    private var sharedAt = ContinuousClock.now
    private var hurrying: Task<Void, Never>?
    private var refusedCount = 0

    public init(_ state: Distributor.State, logger: Logger) {
        self.logger = logger
        _ = ledger.setLimits(Self.limits(state))
    }

    /// New limits count at once.
    public func update(_ state: Distributor.State) {
        send(ledger.setLimits(Self.limits(state)))
        send(ledger.allocate(at: now))
    }

    private static func limits(_ state: Distributor.State) -> [String: [QuotaLimit]] {
        var limits: [String: [QuotaLimit]] = [:]
        for id in state.specification.services.keys {
            let found = QuotaLimit.limits(of: id, in: state.specification, state.policies)
            if !found.isEmpty { limits[QuotaLimit.domain(id)] = found }
        }
        return limits
    }

    private var now: MonotonicInstant { .zero.advanced(by: ContinuousClock.now - start) }

    /// What is handed out, for operators.
    public var status: QuotaList { ledger.status(at: now) }

    // MARK: Streams

    /// `node`: the id that the sidecar has in its configuration stream, if it says one.
    func open(
        _ peer: Peer, node: String?, mustMatch: Bool, _ queue: AsyncStream<Response>.Continuation
    ) throws -> StreamID {
        let id = try admission.admit(openCount: streams.count)
        streams[id] = Stream(peer: peer, mustMatch: mustMatch, queue: queue)
        // One service cannot speak for the sidecars of another.
        let owner = peer.identity.map { "\($0) " } ?? ""
        let proxy = node ?? "stream \(id)"
        ledger.joined("\(owner)\(proxy)", shownAs: proxy, on: id)
        startSharing()
        return id
    }

    func received(_ reports: QuotaLedger.Reports, on id: StreamID) throws {
        guard let stream = streams[id] else { return }
        let domain = reports.domain.isEmpty ? stream.domain : reports.domain
        guard !domain.isEmpty else {
            throw RPCError(code: .invalidArgument, message: "domain: is missing in the first report")
        }
        if stream.mustMatch {
            let own = stream.peer.identity.map { "\($0.namespace)/\($0.service)" }
            guard own == domain else {
                logger.warning(
                    "quota report refused",
                    metadata: ["domain": "\(domain)", "peer": "\(stream.peer.address)"])
                throw RPCError(
                    code: .permissionDenied,
                    message: "the certificate is of \(own ?? "nobody"), not of \(domain)")
            }
        }
        streams[id]?.domain = domain
        if let response = ledger.received(reports, domain: domain, on: id, at: now) {
            stream.queue.yield(response)
        }
        if ledger.hasUrgent { shareSoon() }
    }

    func close(_ id: StreamID) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        stream.queue.finish()
        ledger.left(id)
    }

    /// Ends all streams; sidecars do what their policy says about a control plane that is away.
    public func closeAll() {
        admission.close()
        sharing?.cancel()
        hurrying?.cancel()
        for stream in streams.values { stream.queue.finish() }
    }

    private func send(_ responses: [StreamID: Response]) {
        for (id, response) in responses { streams[id]?.queue.yield(response) }
    }

    // MARK: Time

    /// Nobody is woken while no sidecar reports.
    private func startSharing() {
        guard sharing == nil else { return }
        sharing = Task {
            while (try? await Task.sleep(for: Self.interval)) != nil, share() {}
        }
    }

    /// Limits whose use has moved, at once unless they were divided a moment ago.
    private func shareSoon() {
        guard hurrying == nil, !admission.isClosed else { return }
        let due = sharedAt.advanced(by: Self.hurry)
        guard due > .now else { return shareUrgent() }
        hurrying = Task {
            try? await Task.sleep(until: due, clock: .continuous)
            guard !Task.isCancelled else { return }
            hurrying = nil
            shareUrgent()
        }
    }

    private func shareUrgent() {
        sharedAt = .now
        send(ledger.allocateUrgent(at: now))
    }

    private func share() -> Bool {
        sharedAt = .now
        send(ledger.allocate(at: now))
        if ledger.refusedCount > refusedCount {
            logger.warning(
                "there are too many quota buckets of one service: further callers get what the policy says without one",
                metadata: [
                    "reports": "\(ledger.refusedCount - refusedCount)", "most": "\(QuotaLedger.bucketsMax)",
                ])
            refusedCount = ledger.refusedCount
        }
        if streams.isEmpty, ledger.bucketCount == 0 { sharing = nil }
        return sharing != nil && !admission.isClosed
    }
}
