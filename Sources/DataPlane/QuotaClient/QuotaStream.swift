import MeshModel
import MeshPrimitives
import Proxy
import Reactor
import TrafficPolicy
import XDSClient

/// The stream to one service about the buckets of one domain: reports one way, assignments the other. It begins with the
/// first request of any of its buckets, and begins anew, later and later, when it ends. While there is none use adds up,
/// and the buckets do what they were told to do without an assignment.
final class QuotaStream {
    private static let path = "/envoy.service.rate_limit_quota.v3.RateLimitQuotaService/StreamRateLimitQuotas"
    private static let messageMax = 4 << 20
    /// Reports without use after which a bucket of an open value is forgotten.
    private static let idleReportsMax = 60

    /// A bucket that the service knows of.
    private struct Reported {
        let entry: QuotaEntry
        var due: MonotonicInstant
        /// What the service believes.
        var demand = QuotaDemand()
        var idleReports = 0
    }

    private unowned let reporter: QuotaReporter
    private let key: QuotaReporter.Key
    private let service: GlobalRateLimit.Service
    private var channel: GRPCChannel?
    private var stream: GRPCStream?
    private var isOpen = false
    private var reported: [ObjectIdentifier: Reported] = [:]
    private var delay = ReconnectDelay(from: .milliseconds(500), to: .seconds(10))
    private var waitsUntil = MonotonicInstant.zero
    private var hosts = 0
    private var hasComplained = false

    init(_ reporter: QuotaReporter, _ key: QuotaReporter.Key, _ service: GlobalRateLimit.Service) {
        (self.reporter, self.key, self.service) = (reporter, key, service)
    }

    func stop() {
        stream?.cancel()
        channel?.close()
        (stream, channel, isOpen) = (nil, nil, false)
    }

    /// Endpoints or keys may be others: a stream that is open goes on.
    func clustersChanged() { if !isOpen { waitsUntil = .zero } }

    func look(_ entries: [QuotaEntry]) {
        let now = reporter.loop.now
        let known = Set(entries.map { ObjectIdentifier($0) })
        reported = reported.filter { known.contains($0.key) }
        for entry in entries where reported[ObjectIdentifier(entry)] == nil && !entry.bucket.hasUsage {
            entry.bucket.startReporting(at: now)
        }
        guard stream != nil || !reported.isEmpty || entries.contains(where: { $0.bucket.hasUsage }) else {
            return
        }
        guard let stream else { return connect() }
        guard isOpen else { return }
        var usages: [(entry: QuotaEntry, usage: QuotaUsage)] = []
        for entry in entries {
            let name = ObjectIdentifier(entry)
            if let known = reported[name] {
                guard now >= known.due || isUrgent(known, at: now) else { continue }
            } else {
                guard entry.bucket.hasUsage else { continue }
                reported[name] = Reported(entry: entry, due: now)
            }
            reported[name]?.due = now.advanced(by: entry.reportInterval)
            let usage = entry.bucket.takeUsage(at: now)
            reported[name]?.demand.reported(usage)
            usages.append((entry, usage))
            forgetIfIdle(entry, name, usage)
        }
        if !usages.isEmpty { stream.send(QuotaMessages.report(key.domain, usages)) }
    }

    /// Our own control plane hears at once, which is at the next look, of demand that has moved; others when they have asked
    /// to hear.
    private func isUrgent(_ known: Reported, at now: MonotonicInstant) -> Bool {
        key.cluster == MeshClient.controlCluster
            && known.demand.isOutdated(by: known.entry.bucket.usage(at: now))
    }

    private func forgetIfIdle(_ entry: QuotaEntry, _ name: ObjectIdentifier, _ usage: QuotaUsage) {
        guard entry.isOpen else { return }
        let isIdle = usage.allowed == 0 && usage.denied == 0
        let count = isIdle ? (reported[name]?.idleReports ?? 0) + 1 : 0
        reported[name]?.idleReports = count
        guard count >= Self.idleReportsMax else { return }
        reported[name] = nil
        reporter.table.retire(entry)
    }

    // MARK: The stream

    private func connect() {
        guard reporter.loop.now >= waitsUntil else { return }
        switch reporter.target(of: key.cluster) {
        case .failure(let problem): failed(problem.description)
        case .success(let target):
            let channel =
                channel
                ?? GRPCChannel(
                    loop: reporter.loop, resolver: reporter.resolver, target: target,
                    authority: service.authority.isEmpty ? service.cluster : service.authority,
                    firstHost: hosts
                ) { [weak self] _ in
                    // The next time another host comes first.
                    self?.hosts += 1
                    self?.channel = nil
                }
            self.channel = channel
            let stream = GRPCStream(
                path: Self.path, metadata: service.metadata, messageMax: Self.messageMax
            ) { [weak self] event in
                switch event {
                case .message(let message): self?.received(message)
                case .ended(let failure): self?.failed(failure?.description ?? "the service has ended it")
                }
            }
            stream.onOpen = { [weak self] in self?.opened() }
            self.stream = stream
            channel.start(stream)
        }
    }

    private func opened() {
        isOpen = true
        // Whoever answers now may know of nothing.
        for name in reported.keys { reported[name]?.due = reporter.loop.now }
    }

    private func received(_ message: [UInt8]) {
        delay.succeeded()
        if hasComplained { reporter.log(.info, "\(key.cluster): quotas are assigned again") }
        hasComplained = false
        guard let actions = QuotaMessages.actions(message) else {
            return reporter.log(.warning, "\(key.cluster): an answer about quotas that is no message")
        }
        for action in actions {
            guard let entry = reporter.table.entry(of: key.cluster, key.domain, action.id) else { continue }
            switch action.kind {
            case .assign(let assignment): entry.bucket.assign(assignment, at: reporter.loop.now)
            case .abandon:
                entry.bucket.abandon()
                reported[ObjectIdentifier(entry)] = nil
            }
        }
    }

    private func failed(_ reason: String) {
        (stream, isOpen) = (nil, false)
        waitsUntil = reporter.loop.now.advanced(by: delay.next(using: &reporter.loop.random))
        if !hasComplained {
            reporter.log(.warning, "\(key.cluster): quotas of \(key.domain) are not assigned: \(reason)")
        }
        hasComplained = true
    }
}
