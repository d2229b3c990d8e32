import MeshModel
import MeshPrimitives
import TrafficPolicy
import XDSSchema

/// The proxy's side of a discovery stream (state of the world, aggregated), and what is in force because of
/// it.
///
/// Resources that are new or changed *warm* until what they need has come, and then take the place of the old
/// ones: a cluster waits for its endpoints and secrets, a listener for its routes and secrets. Each wait is
/// bounded by the source's `initial_fetch_timeout`; after it a cluster has no endpoints and a listener no
/// routes, but what lacks a secret stays out, since it could not be used safely. Clusters come first:
/// listeners are asked for when every cluster of the start is warm, and `configuration` holds none until
/// their start is complete too.
///
/// Of a response the good resources are applied, and a bad one keeps its predecessor, while the refusal names
/// each bad one with each bad field; a value outside the API's declared constraints refuses the response as a
/// whole. A cluster response is acknowledged when its clusters are warm, as Envoy does, and a listener response when its
/// listeners are, since a listener's port shows only then whether it is free. Unlike Envoy, a
/// changed cluster goes on with the endpoints that it has if it asks for the same name, so that it need not
/// wait for them again.
///
/// The caller feeds it: `start` once, then events as they happen, and `timerFired` at `deadline`.
public struct ADSClient {
    /// What to do after an event.
    public struct Output {
        /// DiscoveryRequests, binary, to be sent in this order on the open stream.
        public var requests: [[UInt8]] = []
        /// `configuration` may differ from what it was.
        public var isChanged = false
        /// The stream makes no sense: close it, for this reason.
        public var closesStream: String?
        /// For the log.
        public var notes: [Note] = []
    }

    public enum Note: Equatable, Sendable {
        case accepted(ResourceKind, version: String, resources: Int)
        case refused(ResourceKind, version: String, reason: String)
        /// What did not come within `initial_fetch_timeout`; the name is empty for clusters and listeners as
        /// such.
        case timedOut(ResourceKind, name: String)
        /// Accepted first, and refused by who was to take it up.
        case notTakenUp(ResourceKind, version: String, reason: String)
        case ignored(String)
        case ready
    }

    struct Wait: Hashable {
        var kind: ResourceKind
        var name: String
    }

    private struct Subscription {
        /// Of the last response that was accepted.
        var version = ""
        /// Of the last one that was taken up as well.
        var versionTakenUp = ""
        /// Of the last response on this stream.
        var nonce = ""
        /// In the last request on this stream; nil before the first.
        var sentNames: [String]?
        /// A response waits for its answer; the text refuses it.
        var answer: Answer?
        var hasResponse = false
        var lastRefusal: String?
    }

    private enum Answer { case acknowledge, refuse(String) }

    private let settings: ADSSettings?
    private let node: ConfigMessage
    private let localCluster: String
    private let clusterFetchTimeout: Duration?
    private let listenerFetchTimeout: Duration?
    private var surroundings: ConfigSurroundings

    private var clusters: [String: Warmed<CompiledCluster>] = [:]
    private var listeners: [String: Warmed<CompiledListener>] = [:]
    private var assignments: [String: Held<Assignment>] = [:]
    private var routes: [String: Held<RouteConfiguration>] = [:]
    /// What was taken up last.
    private var confirmedRoutes: [String: Held<RouteConfiguration>] = [:]
    private var confirmedSecrets: [String: Held<SecretValue>] = [:]
    private var secrets: [String: Held<SecretValue>] = [:]
    private var heldManifest: Held<SignedManifest>?

    private var subscriptions = [Subscription](repeating: Subscription(), count: ResourceKind.allCases.count)
    private var isStreamOpen = false
    private var wasNodeSent = false
    /// Until when each missing thing is waited for.
    private var waits: [Wait: MonotonicInstant] = [:]
    private var expired: Set<Wait> = []
    private var areClustersReady = false
    /// The start is complete: everything came, or was waited for long enough.
    public private(set) var isReady = false

    public init(bootstrap: Bootstrap, surroundings: ConfigSurroundings) {
        settings = bootstrap.ads
        (node, localCluster) = (bootstrap.node, bootstrap.localCluster)
        clusterFetchTimeout = bootstrap.clusterFetchTimeout
        listenerFetchTimeout = bootstrap.listenerFetchTimeout
        self.surroundings = surroundings
        self.surroundings.runtime.merge(bootstrap.runtime) { $1 }
        self.surroundings.secrets.merge(bootstrap.secrets) { $1 }
        clusters.reserveCapacity(bootstrap.clusters.count)
        for (index, cluster) in bootstrap.clusters.enumerated() {
            clusters[cluster.cluster.name] = Warmed(staticValue: cluster, order: index)
        }
        for (index, listener) in bootstrap.listeners.enumerated() {
            listeners[listener.listener.name] = Warmed(staticValue: listener, order: index)
        }
    }

    /// When `timerFired` is to be called; nil: never.
    public var deadline: MonotonicInstant? { waits.values.filter { $0 < .distantFuture }.min() }

    /// The last refusal of each kind that was not followed by an accepted response.
    public func lastRefusal(_ kind: ResourceKind) -> String? { subscriptions[kind.rawValue].lastRefusal }
    /// Of the last accepted response; empty before the first.
    public func version(_ kind: ResourceKind) -> String { subscriptions[kind.rawValue].version }

    // MARK: Events

    /// Once, before everything else: the waits of the start begin.
    public mutating func start(at now: MonotonicInstant) -> Output {
        if let timeout = clusterFetchTimeout { wait(Wait(kind: .cluster, name: ""), timeout, now) }
        return settled(at: now, Output(isChanged: true))
    }

    public mutating func streamOpened(at now: MonotonicInstant) -> Output {
        (isStreamOpen, wasNodeSent) = (true, false)
        for index in subscriptions.indices {
            subscriptions[index].nonce = ""
            subscriptions[index].sentNames = nil
            subscriptions[index].answer = nil
        }
        return settled(at: now, Output())
    }

    public mutating func streamClosed(at now: MonotonicInstant) -> Output {
        isStreamOpen = false
        return settled(at: now, Output())
    }

    public mutating func timerFired(at now: MonotonicInstant) -> Output {
        var output = Output()
        for (wait, deadline) in waits where deadline <= now {
            waits[wait] = nil
            expired.insert(wait)
            output.notes.append(.timedOut(wait.kind, name: wait.name))
            output.isChanged = true
        }
        output.notes.sort { "\($0)" < "\($1)" }
        return settled(at: now, output)
    }

    /// A secret that the proxy makes itself, new or renewed. It is never asked for.
    public mutating func provide(_ secret: SecretValue, named name: String, at now: MonotonicInstant)
        -> Output
    {
        surroundings.secrets[name] = secret
        return settled(at: now, Output(isChanged: true))
    }

    /// All of `configuration` is in force.
    public mutating func tookUp() {
        for place in clusters.indices { clusters.values[place].confirm() }
        for place in listeners.indices { listeners.values[place].confirm() }
        (confirmedRoutes, confirmedSecrets) = (routes, secrets)
        for index in subscriptions.indices {
            subscriptions[index].versionTakenUp = subscriptions[index].version
        }
    }

    /// `configuration` could not be taken up because of this resource, for a reason that only shows there: a port that
    /// is in use, a key that does not fit. Its predecessor takes its place again, and the response that brought it is
    /// refused, even if it was acknowledged in between. No output if the resource has no part in it, or is the
    /// bootstrap's own: then nothing here can make it better.
    public mutating func refused(
        _ kind: ResourceKind, _ name: String, reason: String, at now: MonotonicInstant
    ) -> Output? {
        var (kind, name) = (kind, name)
        switch kind {
        case .cluster where clusters[name]?.isReplaceable == true:
            if clusters[name]?.revert() == false { clusters[name] = nil }
        case .listener where listeners[name]?.isReplaceable == true:
            if listeners[name]?.revert() == false { listeners[name] = nil }
        case .routes where routes[name] != nil && confirmedRoutes[name] !== routes[name]:
            routes[name] = confirmedRoutes[name]
            // A listener without a predecessor of its routes is in force without any, as if they had not come.
            if routes[name] == nil { expired.insert(Wait(kind: .routes, name: name)) }
        case .cluster, .listener:
            // It is as before: what is new is a secret of it.
            var needed: Set<String> = []
            clusters[name]?.forBoth { needed.formUnion($0.value.secrets.keys) }
            listeners[name]?.forBoth { needed.formUnion($0.value.secrets.keys) }
            let suspect = needed.sorted().first {
                confirmedSecrets[$0] != nil && confirmedSecrets[$0] !== secrets[$0]
            }
            guard let suspect else { return nil }
            (kind, name) = (.secret, suspect)
            secrets[name] = confirmedSecrets[name]
        case .routes, .endpoints, .secret, .manifest:
            return nil
        }
        let index = kind.rawValue
        let version = subscriptions[index].version
        let text = "\(kind.word) '\(name)': \(reason)"
        // A response may have other faults too.
        let whole = subscriptions[index].lastRefusal.map { "\($0); \(text)" } ?? text
        subscriptions[index].lastRefusal = whole
        subscriptions[index].version = subscriptions[index].versionTakenUp
        subscriptions[index].answer = .refuse(whole)
        return settled(
            at: now, Output(isChanged: true, notes: [.notTakenUp(kind, version: version, reason: text)]))
    }

    /// A DiscoveryResponse, binary.
    public mutating func responseReceived(_ bytes: [UInt8], at now: MonotonicInstant) -> Output {
        var output = Output()
        var problems = ConfigProblems()
        let envelope = WireReader.read(
            bytes, as: XDS.DiscoveryResponse.messageType, keepsAnyPacked: true, skipsUnknown: true,
            problems: &problems)
        guard let envelope else {
            output.closesStream = "a response is unreadable: \(problems.list.first?.description ?? "")"
            return output
        }
        let typeURL = envelope.text(XDS.DiscoveryResponse.typeUrl)
        guard let kind = ResourceKind(typeURL: typeURL) else {
            output.notes.append(.ignored("a response of the type '\(typeURL)', which was not asked for"))
            return output
        }
        let version = envelope.text(XDS.DiscoveryResponse.versionInfo)
        subscriptions[kind.rawValue].nonce = envelope.text(XDS.DiscoveryResponse.nonce)
        guard subscriptions[kind.rawValue].sentNames != nil else {
            output.notes.append(.ignored("a response of the type '\(typeURL)', which was not asked for"))
            return output
        }
        var batch = ResponseBatch(kind: kind, version: version)
        for resource in envelope.messages(XDS.DiscoveryResponse.resources) { read(resource, into: &batch) }
        let isChanged = batch.isRefusedAsWhole ? false : apply(batch)
        subscriptions[kind.rawValue].hasResponse = true
        waits[Wait(kind: kind, name: "")] = nil
        expired.remove(Wait(kind: kind, name: ""))
        if let reason = batch.refusal {
            subscriptions[kind.rawValue].answer = .refuse(reason)
            subscriptions[kind.rawValue].lastRefusal = reason
            output.notes.append(.refused(kind, version: version, reason: reason))
        } else {
            subscriptions[kind.rawValue].answer = .acknowledge
            subscriptions[kind.rawValue].version = version
            subscriptions[kind.rawValue].lastRefusal = nil
            output.notes.append(.accepted(kind, version: version, resources: batch.names.count))
        }
        output.isChanged = isChanged
        return settled(at: now, output)
    }
}

// Responses.
extension ADSClient {
    /// Reads one resource of a response; unchanged ones are not compiled again.
    private mutating func read(_ resource: ConfigMessage, into batch: inout ResponseBatch) {
        let bytes = resource.bytes(XDS.AnyMessage.value)
        // Every kind has its name in field 1; a resource that cannot be read keeps its predecessor by it.
        let name = WireReader.firstText(in: bytes) ?? ""
        let url = resource.text(XDS.AnyMessage.typeUrl)
        guard ResourceKind(typeURL: url) == batch.kind else {
            return batch.refuse(name, ["it has the type '\(url)'"], asWhole: true)
        }
        guard batch.names.insert(name).inserted else {
            return batch.refuse(name, ["it is there twice"], asWhole: true)
        }
        if isStatic(batch.kind, name) {
            return batch.refuse(name, ["the bootstrap has one of this name, which cannot be replaced"])
        }
        if heldBytes(batch.kind, name) == bytes { return }
        var problems = ConfigProblems(countMax: 20)
        let message = WireReader.read(bytes, as: batch.kind.messageType, problems: &problems)
        guard let message else { return batch.refuse(name, problems.list.map(\.description)) }
        guard message.validate(problems: &problems) else {
            return batch.refuse(name, problems.list.map(\.description), asWhole: true)
        }
        compile(message, name, bytes, into: &batch)
    }

    private func compile(
        _ message: ConfigMessage, _ name: String, _ bytes: [UInt8], into batch: inout ResponseBatch
    ) {
        var compiler = ResourceCompiler(surroundings: surroundings, problems: ConfigProblems(countMax: 20))
        let node = ConfigNode(message, root: "")
        var value: ResponseBatch.Value?
        switch batch.kind {
        case .cluster:
            value = .cluster(compiler.cluster(node))
        case .endpoints:
            value = .endpoints(compiler.assignment(node, allowsNames: false))
        case .listener:
            if name.isEmpty { compiler.add("must not be empty", at: node, XDS.Listener.name) }
            value = compiler.listener(node).map(ResponseBatch.Value.listener)
            compiler.addUnknownReferences(Set(clusters.keys))
        case .routes:
            value = .routes(compiler.routeConfiguration(node, validatesClusters: false))
            compiler.addUnknownReferences(Set(clusters.keys))
        case .secret:
            value = compiler.secret(node).map(ResponseBatch.Value.secret)
        case .manifest:
            value = .manifest(SignedManifest(message))
        }
        guard compiler.problems.isEmpty, let value else {
            return batch.refuse(name, compiler.problems.list.map(\.description))
        }
        batch.resources.append(ResponseBatch.Resource(name: name, bytes: bytes, value: value))
    }

    private func isStatic(_ kind: ResourceKind, _ name: String) -> Bool {
        switch kind {
        case .cluster: clusters[name]?.isStatic == true
        case .listener: listeners[name]?.isStatic == true
        case .endpoints, .routes, .secret, .manifest: false
        }
    }

    private func heldBytes(_ kind: ResourceKind, _ name: String) -> [UInt8]? {
        switch kind {
        case .cluster: clusters[name]?.newest.bytes
        case .endpoints: assignments[name]?.bytes
        case .listener: listeners[name]?.newest.bytes
        case .routes: routes[name]?.bytes
        case .secret: secrets[name]?.bytes
        case .manifest: heldManifest?.bytes
        }
    }

    /// True if something is different afterwards.
    private mutating func apply(_ batch: ResponseBatch) -> Bool {
        var isChanged = false
        // What nobody asked for is not kept.
        let needed = needs(batch.kind)
        for resource in batch.resources where batch.kind.isWholeState || needed[resource.name] != nil {
            let (bytes, version, name) = (resource.bytes, batch.version, resource.name)
            switch resource.value {
            case .cluster(let cluster):
                clusters[name, default: Warmed()].warm(Held(value: cluster, bytes: bytes, version: version))
            case .listener(let listener):
                listeners[name, default: Warmed()].warm(Held(value: listener, bytes: bytes, version: version))
            case .endpoints(let assignment):
                assignments[name] = Held(value: assignment, bytes: bytes, version: version)
            case .routes(let configuration):
                routes[name] = Held(value: configuration, bytes: bytes, version: version)
            case .secret(let secret):
                secrets[name] = Held(value: secret, bytes: bytes, version: version)
            case .manifest(let manifest):
                heldManifest = Held(value: manifest, bytes: bytes, version: version)
            }
            isChanged = true
        }
        if batch.kind == .cluster {
            for (name, cluster) in clusters where !cluster.isStatic && !batch.names.contains(name) {
                clusters[name] = nil
                isChanged = true
            }
        }
        if batch.kind == .listener {
            for (name, listener) in listeners where !listener.isStatic && !batch.names.contains(name) {
                listeners[name] = nil
                isChanged = true
            }
        }
        return isChanged
    }
}

// Warming.
extension ADSClient {
    /// Brings everything that follows from an event up to date, and says what to send.
    private mutating func settled(at now: MonotonicInstant, _ output: Output) -> Output {
        var output = output
        forgetUnneeded()
        awaitMissing(at: now)
        promote(&output)
        // What only the replaced ones needed.
        forgetUnneeded()
        if !areClustersReady, !isWaiting(.cluster), !clusters.values.contains(where: { blocks($0) }) {
            areClustersReady = true
            if let timeout = listenerFetchTimeout { wait(Wait(kind: .listener, name: ""), timeout, now) }
        }
        if areClustersReady, !isReady, !isWaiting(.listener),
            !listeners.values.contains(where: { blocks($0) })
        {
            isReady = true
            output.isChanged = true
            output.notes.append(.ready)
        }
        if isStreamOpen { output.requests += requests() }
        return output
    }

    private mutating func wait(_ wait: Wait, _ timeout: Duration, _ now: MonotonicInstant) {
        waits[wait] = timeout > .zero ? now.advanced(by: timeout) : .distantFuture
    }

    private func isWaiting(_ kind: ResourceKind) -> Bool { waits[Wait(kind: kind, name: "")] != nil }

    /// The names of a kind that clusters and listeners need, with the time that each may take.
    private func needs(_ kind: ResourceKind) -> [String: Duration] {
        var names: [String: Duration] = [:]
        switch kind {
        case .cluster, .listener:
            break
        case .endpoints:
            for cluster in clusters.values {
                cluster.forBoth { if let eds = $0.value.eds { names[eds.name] = eds.timeout } }
            }
        case .routes:
            for listener in listeners.values { listener.forBoth { names.merge($0.value.routes) { $1 } } }
        case .secret:
            for cluster in clusters.values {
                cluster.forBoth { if !$0.value.secrets.isEmpty { names.merge($0.value.secrets) { $1 } } }
            }
            for listener in listeners.values { listener.forBoth { names.merge($0.value.secrets) { $1 } } }
            names = names.filter { surroundings.secrets[$0.key] == nil }
        case .manifest:
            // Nothing waits for it.
            if settings?.asksForManifest == true { names[SignedManifest.name] = .zero }
        }
        return names
    }

    private mutating func forgetUnneeded() {
        let (endpointNames, routeNames, secretNames) = (needs(.endpoints), needs(.routes), needs(.secret))
        assignments = assignments.filter { endpointNames[$0.key] != nil }
        routes = routes.filter { routeNames[$0.key] != nil }
        secrets = secrets.filter { secretNames[$0.key] != nil }
        func isNeeded(_ wait: Wait) -> Bool {
            switch wait.kind {
            case .cluster, .listener, .manifest: true
            case .endpoints: endpointNames[wait.name] != nil && assignments[wait.name] == nil
            case .routes: routeNames[wait.name] != nil && routes[wait.name] == nil
            case .secret: secretNames[wait.name] != nil && secrets[wait.name] == nil
            }
        }
        waits = waits.filter { isNeeded($0.key) }
        expired = expired.filter { isNeeded($0) }
    }

    private mutating func awaitMissing(at now: MonotonicInstant) {
        func isMissing(_ kind: ResourceKind, _ name: String) -> Bool {
            switch kind {
            case .cluster, .listener, .manifest: false
            case .endpoints: assignments[name] == nil
            case .routes: routes[name] == nil
            case .secret: secrets[name] == nil
            }
        }
        // What listeners need is asked for when they are; its time starts then.
        for kind in [ResourceKind.endpoints, .routes, .secret] where kind != .routes || areClustersReady {
            for (name, timeout) in needs(kind) where isMissing(kind, name) {
                let wait = Wait(kind: kind, name: name)
                if waits[wait] == nil, !expired.contains(wait) { self.wait(wait, timeout, now) }
            }
        }
    }

    func secret(_ name: String) -> SecretValue? { surroundings.secrets[name] ?? secrets[name]?.value }

    private func hasSecrets(_ names: [String: Duration]) -> Bool {
        names.keys.allSatisfy { secret($0) != nil }
    }

    private func isWarm(_ cluster: CompiledCluster) -> Bool {
        let name = cluster.eds?.name
        let hasEndpoints = name.map {
            assignments[$0] != nil || expired.contains(Wait(kind: .endpoints, name: $0))
        }
        guard hasEndpoints ?? true else { return false }
        var value = cluster.cluster
        return cluster.secrets.isEmpty || value.resolveSecrets(secret)
    }

    private func isWarm(_ listener: CompiledListener) -> Bool {
        listener.routes.keys.allSatisfy {
            routes[$0] != nil || expired.contains(Wait(kind: .routes, name: $0))
        }
            && hasSecrets(listener.secrets)
    }

    private mutating func promote(_ output: inout Output) {
        for place in clusters.indices {
            if let warming = clusters.values[place].warming, isWarm(warming.value) {
                clusters.values[place].promote()
                output.isChanged = true
            }
        }
        for place in listeners.indices {
            if let warming = listeners.values[place].warming, isWarm(warming.value) {
                listeners.values[place].promote()
                output.isChanged = true
            }
        }
    }

    /// It waits for something that is still waited for; what has expired holds nobody up.
    private func blocks(_ cluster: Warmed<CompiledCluster>) -> Bool {
        guard let warming = cluster.warming else { return false }
        let isMissingEndpoints = warming.value.eds.map { waits[Wait(kind: .endpoints, name: $0.name)] != nil }
        return isMissingEndpoints ?? false || isMissingSecret(warming.value.secrets)
    }

    private func blocks(_ listener: Warmed<CompiledListener>) -> Bool {
        guard let warming = listener.warming else { return false }
        return warming.value.routes.keys.contains { waits[Wait(kind: .routes, name: $0)] != nil }
            || isMissingSecret(warming.value.secrets)
    }

    private func isMissingSecret(_ names: [String: Duration]) -> Bool {
        names.keys.contains { waits[Wait(kind: .secret, name: $0)] != nil }
    }
}

// Requests.
extension ADSClient {
    private mutating func requests() -> [[UInt8]] {
        var requests: [[UInt8]] = []
        for kind in ResourceKind.allCases {
            guard let names = wantedNames(kind) else { continue }
            let subscription = subscriptions[kind.rawValue]
            var answer = subscription.answer
            if case .acknowledge = answer, isWarming(kind) { answer = nil }
            let isNew = subscription.sentNames != names
            guard isNew || answer != nil else { continue }
            requests.append(request(kind, names, answer))
            subscriptions[kind.rawValue].sentNames = names
            if answer != nil { subscriptions[kind.rawValue].answer = nil }
        }
        return requests
    }

    /// Whether what was accepted proves good shows when it is in force.
    private func isWarming(_ kind: ResourceKind) -> Bool {
        switch kind {
        case .cluster: clusters.values.contains { blocks($0) }
        case .listener: listeners.values.contains { blocks($0) }
        case .endpoints, .routes, .secret, .manifest: false
        }
    }

    /// nil: nothing to ask for. No names for what is asked for as a whole.
    private func wantedNames(_ kind: ResourceKind) -> [String]? {
        switch kind {
        case .cluster:
            return clusterFetchTimeout == nil ? nil : []
        case .listener:
            return listenerFetchTimeout == nil || !areClustersReady ? nil : []
        case .routes where !areClustersReady:
            return nil
        case .endpoints, .routes, .secret, .manifest:
            let names = needs(kind).keys.sorted()
            // The last name going is said once; before the first there is nothing to say.
            return names.isEmpty && subscriptions[kind.rawValue].sentNames == nil ? nil : names
        }
    }

    private mutating func request(_ kind: ResourceKind, _ names: [String], _ answer: Answer?) -> [UInt8] {
        typealias F = XDS.DiscoveryRequest
        let subscription = subscriptions[kind.rawValue]
        var request = ConfigMessage(F.messageType)
        func set(_ number: FieldNumber, _ text: String) {
            if !text.isEmpty { request.set(number, .text(text)) }
        }
        set(F.versionInfo, subscription.version)
        set(F.typeUrl, kind.typeURL)
        set(F.responseNonce, subscription.nonce)
        if !names.isEmpty { request.set(F.resourceNames, .list(names.map(ConfigValue.text))) }
        if !wasNodeSent || settings?.sendsNodeOnce != true { request.set(F.node, .message(node)) }
        wasNodeSent = true
        if case .refuse(let reason) = answer {
            var status = ConfigMessage(XDS.Status.messageType)
            status.set(XDS.Status.code, .signed(Self.refusalCode))
            status.set(XDS.Status.message, .text(reason))
            request.set(F.errorDetail, .message(status))
        }
        return WireWriter.write(request)
    }

    /// `INTERNAL`, as Envoy answers.
    private static let refusalCode: Int64 = 13
}

// What is in force.
extension ADSClient {
    /// Everything that is warm: static resources in their order, then the others by name. No listeners before
    /// the start is complete.
    public var configuration: Configuration {
        var configuration = Configuration(
            listeners: isReady ? Warmed.inForce(listeners).compactMap { resolved($0.value) } : [],
            clusters: clustersInForce, runtime: surroundings.runtime)
        configuration.localCluster = localCluster
        configuration.nodeCluster = node.text(XDS.Node.cluster)
        configuration.nodeID = node.text(XDS.Node.id)
        configuration.locality = LocalityName(node.message(XDS.Node.locality))
        return configuration
    }

    private var clustersInForce: [Cluster] {
        let held = Warmed.inForce(clusters)
        var resolved: [Cluster] = []
        resolved.reserveCapacity(held.count)
        for held in held { if let cluster = self.resolved(held.value) { resolved.append(cluster) } }
        return resolved
    }

    private func resolved(_ compiled: CompiledCluster) -> Cluster? {
        var cluster = compiled.cluster
        if let eds = compiled.eds, let assignment = assignments[eds.name]?.value {
            cluster.localities = assignment.localities
            cluster.overprovisioningFactor = assignment.overprovisioningFactor
            cluster.weighsHealth = assignment.weighsHealth
            cluster.dropShare = assignment.dropShare
        }
        guard compiled.secrets.isEmpty || cluster.resolveSecrets(secret) else { return nil }
        return cluster
    }

    private func resolved(_ compiled: CompiledListener) -> Listener? {
        var listener = compiled.listener
        for (index, name) in compiled.routeNames {
            let configuration = routes[name]?.value ?? RouteConfiguration(name: name, virtualHosts: [])
            if index < 0 {
                listener.defaultFilterChain?.setRoutes(configuration)
            } else {
                listener.filterChains[index].setRoutes(configuration)
            }
        }
        guard compiled.secrets.isEmpty || listener.resolveSecrets(secret) else { return nil }
        return listener
    }

    /// The last one that came.
    public var manifest: SignedManifest? { heldManifest?.value }

    /// All resources, by kind and name; not the manifest.
    public var held: [HeldResource] {
        var list: [HeldResource] = []
        func add<Value>(
            _ kind: ResourceKind, _ name: String, _ held: Held<Value>?, isWarming: Bool,
            isStatic: Bool = false
        ) {
            guard let held else { return }
            list.append(
                HeldResource(
                    kind: kind, name: name, version: held.version, bytes: held.bytes, isWarming: isWarming,
                    isStatic: isStatic))
        }
        for (name, cluster) in clusters.sorted(by: { $0.key < $1.key }) {
            add(.cluster, name, cluster.active, isWarming: false, isStatic: cluster.isStatic)
            add(.cluster, name, cluster.warming, isWarming: true, isStatic: cluster.isStatic)
        }
        for (name, held) in assignments.sorted(by: { $0.key < $1.key }) {
            add(.endpoints, name, held, isWarming: false)
        }
        for (name, listener) in listeners.sorted(by: { $0.key < $1.key }) {
            add(.listener, name, listener.active, isWarming: false, isStatic: listener.isStatic)
            add(.listener, name, listener.warming, isWarming: true, isStatic: listener.isStatic)
        }
        for (name, held) in routes.sorted(by: { $0.key < $1.key }) {
            add(.routes, name, held, isWarming: false)
        }
        for (name, held) in secrets.sorted(by: { $0.key < $1.key }) {
            add(.secret, name, held, isWarming: false)
        }
        return list
    }
}

extension FilterChain {
    fileprivate mutating func setRoutes(_ routes: RouteConfiguration) {
        guard case .http(var manager) = network else { return }
        manager.routes = .routes(routes)
        let sendsRetryAfter = manager.filters.contains { filter in
            switch filter {
            case .localRateLimit(let limit, _): limit.sendsRetryAfter
            case .cors, .fault, .headerMutation, .healthCheck, .adaptiveConcurrency, .admissionControl,
                .globalRateLimit, .quota:
                false
            }
        }
        if sendsRetryAfter { manager.setSendsRetryAfter() }
        network = .http(manager)
    }
}

extension Cluster {
    fileprivate mutating func resolveSecrets(_ secret: (String) -> SecretValue?) -> Bool {
        var isComplete = self.tls?.settings.resolve(secret) ?? true
        for index in self.transportMatches.indices {
            let isResolved = self.transportMatches[index].tls?.settings.resolve(secret) ?? true
            isComplete = isComplete && isResolved
        }
        return isComplete
    }
}

extension Listener {
    fileprivate mutating func resolveSecrets(_ secret: (String) -> SecretValue?) -> Bool {
        var isComplete = defaultFilterChain?.tls?.settings.resolve(secret) ?? true
        for index in filterChains.indices {
            let isResolved = filterChains[index].tls?.settings.resolve(secret) ?? true
            isComplete = isComplete && isResolved
        }
        return isComplete
    }
}
