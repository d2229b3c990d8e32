import HTTP2Codec
import MeshModel
import MeshPrimitives
import Reactor
import XDSDiscovery
import XDSSchema

/// Keeps the configuration up to date from a control plane: owns the connection and the clock for an `ADSClient`, comes
/// back after every failure, and hands out at most one configuration in a turn.
public final class DiscoveryClient {
    /// Where the stream leads; asked before every attempt, since certificates are renewed.
    public typealias Target = () -> Result<ClientTarget, TargetProblem>

    private static let method =
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"

    private let loop: ControlLoop
    private let resolver: NameResolver
    private let authority: String
    private let metadata: [(name: String, value: String)]
    private let target: Target?
    private let log: LogSink
    private var ads: ADSClient
    private var channel: GRPCChannel?
    private var stream: GRPCStream?
    private var delay: ReconnectDelay
    private var retryTimer: ControlLoop.Timer?
    private var deadlineTimer: ControlLoop.Timer?
    private var firstHost = 0
    /// Grows when the server says that pings come too often.
    private var pingScale = 1
    private var isDeliveryDue = false
    private var isDelivering = false
    /// Something has happened since what is in force was last put together.
    private var mayDiffer = false
    /// `delivered` is in force.
    private var isTakenUp = false
    /// Requests of the machine that wait for the delivery that is due.
    private var unsent: [[UInt8]] = []
    private var hasStarted = false
    private var delivered: Configuration?

    public private(set) var statistics = DiscoveryStatistics()
    /// Why there is no stream; nil while there is one, and before the first attempt has ended.
    public private(set) var lastFailure: String?

    /// A configuration that differs from the one before; in the turn in which it became so.
    public var configurationChanged: ((Configuration) -> Void)?
    /// What has come so far has been taken up; after `configurationChanged`, and also where that had nothing to hear.
    public var settled: (() -> Void)?
    /// A stream could not be had, or has ended, for this reason; another attempt follows by itself.
    public var streamFailed: ((String) -> Void)?

    /// `target` nil: nothing is fetched, and the configuration is the bootstrap's own.
    public init(
        loop: ControlLoop, resolver: NameResolver, bootstrap: Bootstrap, surroundings: ConfigSurroundings,
        target: Target?, delay: ReconnectDelay = ReconnectDelay(), log: @escaping LogSink
    ) {
        (self.loop, self.resolver, self.target, self.delay, self.log) = (loop, resolver, target, delay, log)
        ads = ADSClient(bootstrap: bootstrap, surroundings: surroundings)
        let settings = bootstrap.ads
        authority = settings.map { $0.authority.isEmpty ? $0.clusterName : $0.authority } ?? ""
        metadata = settings?.initialMetadata.map { ($0.name, $0.value) } ?? []
    }

    /// With the bootstrap's own ADS cluster as the target, if it has one.
    public convenience init(
        loop: ControlLoop, resolver: NameResolver, bootstrap: Bootstrap, surroundings: ConfigSurroundings,
        log: @escaping LogSink
    ) throws(TargetProblem) {
        guard let cluster = bootstrap.adsCluster else {
            self.init(
                loop: loop, resolver: resolver, bootstrap: bootstrap, surroundings: surroundings, target: nil,
                log: log)
            return
        }
        let target = try ClientTarget(cluster)
        self.init(
            loop: loop, resolver: resolver, bootstrap: bootstrap, surroundings: surroundings,
            target: { .success(target) }, log: log)
    }

    /// Once. A first configuration follows at the end of the turn: what needs no control plane.
    public func start() {
        precondition(!hasStarted, "started twice")
        hasStarted = true
        apply(ads.start(at: loop.now))
        connect()
    }

    /// Ends the stream for good. What is in force stays.
    public func stop() {
        if let retryTimer { loop.cancel(retryTimer) }
        if let deadlineTimer { loop.cancel(deadlineTimer) }
        (retryTimer, deadlineTimer) = (nil, nil)
        (configurationChanged, settled, streamFailed) = (nil, nil, nil)
        closeStream()
    }

    /// A secret that the proxy makes itself; before `start` or at any time after.
    public func provide(_ secret: SecretValue, named name: String) {
        apply(ads.provide(secret, named: name, at: loop.now))
    }

    /// The configuration cannot be taken up because of this resource. To be called from `configurationChanged`, or when
    /// it shows later; a configuration with what was there before follows. False if there is nothing to be had instead:
    /// the resource is the bootstrap's own, or has not changed.
    public func refuse(_ kind: ResourceKind, _ name: String, reason: String) -> Bool {
        isTakenUp = false
        guard let output = ads.refused(kind, name, reason: reason, at: loop.now) else { return false }
        // Instead of the acknowledgement that waits for this delivery; the fault may be a secret's of the resource.
        let answered = Set(output.requests.map { WireRequest.kind(of: $0) })
        unsent.removeAll { answered.contains(WireRequest.kind(of: $0)) }
        apply(output)
        return true
    }

    /// The last configuration is in force, all of it; from `configurationChanged`, or later.
    public func takenUp() {
        isTakenUp = true
        // Otherwise it speaks of one that has been followed by another already.
        if !isDelivering, !isDeliveryDue { ads.tookUp() }
    }

    // MARK: What is known

    public var configuration: Configuration { ads.configuration }
    /// The start is complete: everything came, or was waited for long enough, and was handed out.
    public var isReady: Bool { ads.isReady && !isDeliveryDue }
    /// For `/config_dump`.
    public var held: [HeldResource] { ads.held }
    public var manifest: SignedManifest? { ads.manifest }
    public func version(_ kind: ResourceKind) -> String { ads.version(kind) }
    public func lastRefusal(_ kind: ResourceKind) -> String? { ads.lastRefusal(kind) }

    /// In words, for `/ready` and logs.
    public var state: String {
        if statistics.isConnected { return isReady ? "up to date" : "waiting for the first configuration" }
        if target == nil { return isReady ? "static" : "warming" }
        return lastFailure.map { "no control plane: \($0)" } ?? "connecting to the control plane"
    }

    // MARK: The stream

    private func connect() {
        guard let target, channel == nil else { return }
        switch target() {
        case .failure(let problem): failed("\(problem)")
        case .success(var target):
            if let pings = target.pings { target.pings?.interval = pings.interval * pingScale }
            let channel = GRPCChannel(
                loop: loop, resolver: resolver, target: target, authority: authority, firstHost: firstHost
            ) { [weak self] failure in
                guard let self else { return }
                if self.channel?.wasPingedTooOften == true { self.pingScale = min(self.pingScale * 2, 64) }
                self.failed("\(failure)")
            }
            let stream = GRPCStream(path: Self.method, metadata: metadata) { [weak self] event in
                switch event {
                case .message(let message): self?.received(message)
                case .ended(let failure): self?.ended(failure)
                }
            }
            stream.onOpen = { [weak self] in self?.opened() }
            (self.channel, self.stream) = (channel, stream)
            channel.start(stream)
        }
    }

    private func opened() {
        statistics.isConnected = true
        statistics.streamCount += 1
        lastFailure = nil
        log(.info, "discovery stream to \(channel?.peer.map(\.description) ?? "?") opened")
        apply(ads.streamOpened(at: loop.now))
    }

    private func received(_ message: [UInt8]) {
        delay.succeeded()
        apply(ads.responseReceived(message, at: loop.now))
    }

    private func ended(_ failure: GRPCFailure?) {
        // One that ends with its channel is told of by the channel.
        guard channel?.isOpen == true else { return }
        failed(failure.map { "\($0)" } ?? "the control plane ended the stream")
    }

    private func failed(_ reason: String) {
        let wasConnected = statistics.isConnected
        closeStream()
        statistics.streamFailed()
        lastFailure = reason
        // Another host may be better off.
        firstHost &+= 1
        let wait = delay.next(using: &loop.random)
        log(
            .warning,
            "discovery stream \(wasConnected ? "lost" : "not opened"): \(reason); next attempt in \(wait.milliseconds) ms"
        )
        if wasConnected { apply(ads.streamClosed(at: loop.now)) }
        if let retryTimer { loop.cancel(retryTimer) }
        retryTimer = loop.after(wait) { [weak self] in
            self?.retryTimer = nil
            self?.connect()
        }
        streamFailed?(reason)
    }

    private func closeStream() {
        let channel = channel
        (self.channel, stream) = (nil, nil)
        unsent.removeAll()
        statistics.isConnected = false
        channel?.close()
    }

    // MARK: The machine

    private func apply(_ output: ADSClient.Output) {
        mayDiffer = true
        tell(output.notes)
        unsent += output.requests
        if output.isChanged, hasStarted, !isDelivering { deliverAtEndOfTurn() }
        if !isDeliveryDue, !isDelivering { sendRequests() }
        if let reason = output.closesStream, stream != nil { failed(reason) }
        armDeadline()
    }

    /// An acknowledgement leaves after the configuration that it is about was taken up, so that a control plane that has
    /// it can rely on that.
    private func sendRequests() {
        for request in unsent {
            if let kind = WireRequest.kind(of: request) { statistics.asked(kind) }
            stream?.send(request)
        }
        unsent.removeAll()
    }

    private func tell(_ notes: [ADSClient.Note]) {
        for note in notes {
            statistics.count(note)
            switch note {
            case .accepted(let kind, let version, let count):
                log(.debug, "\(count) of \(kind.word) accepted, version '\(version)'")
            case .refused(let kind, let version, let reason):
                log(.warning, "\(kind.word) of version '\(version)' refused: \(reason)")
            case .notTakenUp(let kind, let version, let reason):
                log(
                    .error,
                    "\(kind.word) of version '\(version)' refused, since it cannot be taken up: \(reason)")
            case .timedOut(let kind, let name):
                log(.warning, "\(kind.word) '\(name)' did not come in time")
            case .ignored(let what): log(.warning, "ignored \(what)")
            case .ready: log(.info, "configuration complete")
            }
        }
    }

    private func armDeadline() {
        if let deadlineTimer { loop.cancel(deadlineTimer) }
        deadlineTimer = nil
        guard let deadline = ads.deadline else { return }
        deadlineTimer = loop.after(deadline.nanoseconds(since: loop.now)) { [weak self] in
            guard let self else { return }
            self.deadlineTimer = nil
            self.apply(self.ads.timerFired(at: self.loop.now))
        }
    }

    private func deliverAtEndOfTurn() {
        guard !isDeliveryDue else { return }
        isDeliveryDue = true
        loop.atEndOfTurn { [weak self] in
            guard let self else { return }
            self.isDeliveryDue = false
            self.deliver()
        }
    }

    /// Each refusal takes one resource back, so that the rounds are bounded by what has changed.
    private func deliver() {
        isDelivering = true
        repeat {
            mayDiffer = false
            let configuration = ads.configuration
            guard configuration != delivered else { break }
            (delivered, isTakenUp) = (configuration, false)
            configurationChanged?(configuration)
        } while mayDiffer
        isDelivering = false
        if isTakenUp { ads.tookUp() }
        sendRequests()
        settled?()
    }

    // MARK: A saved configuration

    /// Answers the machine's requests from what was saved earlier, as a control plane would; for a start without one.
    /// What is missing there keeps being waited for. A stream that has brought nothing so far is given up for it, and
    /// another one follows.
    public func replay(_ saved: SavedConfiguration) {
        guard hasStarted else { return }
        if statistics.isConnected { tell(ads.streamClosed(at: loop.now).notes) }
        closeStream()
        var answered: [ResourceKind: [String]] = [:]
        let first = ads.streamOpened(at: loop.now)
        tell(first.notes)
        var requests = first.requests[...]
        var roundsLeft = 1000
        while roundsLeft > 0, let next = requests.popFirst() {
            roundsLeft -= 1
            guard let request = WireRequest(next), answered[request.kind] != request.names else { continue }
            answered[request.kind] = request.names
            guard let response = saved.response(to: request) else { continue }
            let output = ads.responseReceived(response, at: loop.now)
            tell(output.notes)
            requests += output.requests
        }
        tell(ads.streamClosed(at: loop.now).notes)
        deliverAtEndOfTurn()
        armDeadline()
        if retryTimer == nil { connect() }
    }
}

extension Duration {
    var milliseconds: Int64 { nanoseconds / 1_000_000 }
}
