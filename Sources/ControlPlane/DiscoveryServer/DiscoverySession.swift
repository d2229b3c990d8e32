import ConfigCompiler
import XDSMessages

/// One ADS stream, state of the world, as a machine: requests and snapshots go in, responses come out.
///
/// For each type at most one response is open. A change that comes meanwhile waits for the answer, and only the last
/// one is sent. What refers to something is not sent before what it refers to, and what is still referred to is not
/// taken away: clusters that left the snapshot stay in the responses until routes and listeners without them have
/// been answered (Envoy's documentation, "Eventual consistency considerations").
///
///     unsubscribed --request--> settled --content differs--> open --answer (ACK, NACK)--> settled
struct DiscoverySession {
    struct Response: Equatable {
        let type: ResourceType
        let version: String
        let nonce: String
        let resources: [CompiledResource]
    }

    /// What a request said about an earlier response.
    enum Verdict: Equatable {
        case acknowledged(ResourceType, version: String)
        case refused(ResourceType, version: String, message: String)
        /// On a new stream: the proxy still holds this from before.
        case resumed(ResourceType, version: String)
    }

    struct Outcome: Equatable {
        var verdict: Verdict?
        var responses: [Response] = []
    }

    static let namesMax = 100_000

    private struct Channel {
        /// Names asked for; `nil` is all.
        var names: [String]?
        /// The open response, if there is one.
        var open: Response?
        /// What the proxy was sent last, by name, with the version of each.
        var delivered: [String: String] = [:]
        /// Version of the last complete set that was sent; empty before the first.
        var version = ""
        /// The proxy refused what it was sent last.
        var isRefused = false
        var hasResponded = false
        var lastNonce = ""
    }

    private var channels: [ResourceType: Channel] = [:]
    private var snapshot: ProxySnapshot
    private var retained: [CompiledResource] = []
    private var nonces: UInt64 = 0

    init(_ snapshot: ProxySnapshot) { self.snapshot = snapshot }

    /// The proxy has begun to ask for everything that it needs.
    var isSubscribed: Bool { channels[.clusters] != nil && channels[.listeners] != nil }

    /// Everything that was asked for is delivered and accepted.
    var isInStep: Bool { isDelivered && channels.values.allSatisfy { !$0.isRefused } }

    /// Everything that was asked for is delivered and answered, or refused and not to be sent again.
    var isDelivered: Bool { channels.allSatisfy { $0.value.open == nil && !differs($0.key) } }

    mutating func snapshotChanged(to next: ProxySnapshot) -> [Response] {
        let names = next[.clusters]
        let gone = snapshot[.clusters].list.filter { names[$0.name] == nil }
        retained = (retained + gone).filter { names[$0.name] == nil }
        snapshot = next
        return flush()
    }

    mutating func requestReceived(_ request: Envoy_Service_Discovery_V3_DiscoveryRequest) -> Outcome {
        guard let type = ResourceType(typeURL: request.typeURL) else { return Outcome() }
        var outcome = Outcome()
        var channel = channels[type] ?? Channel()
        if request.responseNonce.isEmpty {
            if type.isWildcard, !channel.hasResponded, !request.versionInfo.isEmpty,
                request.versionInfo == contents(of: type).version
            {
                // The proxy kept it over a reconnection, and versions are hashes of contents.
                deliver(contents(of: type), on: &channel)
                outcome.verdict = .resumed(type, version: request.versionInfo)
            }
        } else {
            // An answer to a response that has been followed by another one says nothing any more.
            guard let open = channel.open, open.nonce == request.responseNonce else {
                if channel.open == nil, channel.hasResponded {
                    if request.hasErrorDetail, request.responseNonce == channel.lastNonce {
                        // What was acknowledged did not prove good when it was to be used.
                        channel.isRefused = true
                        outcome.verdict = .refused(
                            type, version: channel.version,
                            message: String(request.errorDetail.message.prefix(4096)))
                    }
                    subscribe(&channel, type, to: request.resourceNames)
                }
                channels[type] = channel
                outcome.responses = flush()
                return outcome
            }
            channel.open = nil
            channel.isRefused = request.hasErrorDetail
            outcome.verdict =
                request.hasErrorDetail
                ? .refused(
                    type, version: open.version, message: String(request.errorDetail.message.prefix(4096)))
                : .acknowledged(type, version: open.version)
        }
        subscribe(&channel, type, to: request.resourceNames)
        channels[type] = channel
        outcome.responses = flush()
        return outcome
    }

    private mutating func subscribe(_ channel: inout Channel, _ type: ResourceType, to names: [String]) {
        guard !type.isWildcard else { return }
        let wanted = Set(names.prefix(Self.namesMax))
        // A name that is given up and asked for again is sent again.
        channel.delivered = channel.delivered.filter { wanted.contains($0.key) }
        channel.names = wanted.sorted()
    }

    // MARK: Sending

    /// What the proxy is to hold of a type now, retained clusters included.
    private func contents(of type: ResourceType) -> ProxySnapshot.Resources {
        guard type == .clusters, !retained.isEmpty else { return snapshot[type] }
        return ProxySnapshot([.clusters: snapshot[.clusters].list + retained])[.clusters]
    }

    private func differs(_ type: ResourceType) -> Bool {
        guard let channel = channels[type] else { return false }
        let contents = contents(of: type)
        guard let names = channel.names else { return channel.version != contents.version }
        return names.contains { name in
            guard let resource = contents[name] else { return false }
            return channel.delivered[name] != resource.version
        }
    }

    private mutating func flush() -> [Response] {
        var responses: [Response] = []
        // Twice, because settled routes and listeners let retained clusters go.
        for _ in 0..<2 {
            for type in ResourceType.allCases where channels[type]?.open == nil && differs(type) {
                if type == .listeners || type == .routes, isBlocked { continue }
                responses.append(send(type))
            }
            guard !retained.isEmpty, holdsNewest(.listeners), holdsNewest(.routes) else { break }
            retained = []
        }
        return responses
    }

    /// New clusters cannot be sent yet: what may refer to them waits.
    private var isBlocked: Bool { channels[.clusters]?.open != nil && differs(.clusters) }

    /// Nothing older is in force there: what a proxy refused, its predecessor stays in the place of.
    private func holdsNewest(_ type: ResourceType) -> Bool {
        guard let channel = channels[type] else { return true }
        return channel.open == nil && !channel.isRefused && !differs(type)
    }

    private mutating func send(_ type: ResourceType) -> Response {
        var channel = channels[type] ?? Channel()
        let contents = contents(of: type)
        let resources: [CompiledResource]
        if let names = channel.names {
            // By name a response may hold a part: what did not change is not sent again.
            resources = names.compactMap { contents[$0] }.filter { channel.delivered[$0.name] != $0.version }
        } else {
            resources = contents.list
        }
        if type == .clusters { expectEndpoints(of: resources, after: channel.delivered) }
        nonces += 1
        let response = Response(
            type: type, version: contents.version, nonce: String(nonces), resources: resources)
        deliver(contents, on: &channel)
        channel.open = response
        channel.lastNonce = response.nonce
        channel.isRefused = false
        channels[type] = channel
        return response
    }

    private func deliver(_ contents: ProxySnapshot.Resources, on channel: inout Channel) {
        channel.hasResponded = true
        channel.version = contents.version
        if let names = channel.names {
            for name in names { channel.delivered[name] = contents[name]?.version ?? channel.delivered[name] }
        } else {
            channel.delivered = Dictionary(
                contents.list.map { ($0.name, $0.version) }, uniquingKeysWith: { first, _ in first })
        }
    }

    /// A changed cluster warms again and waits for its endpoints, although the subscription stays the same.
    private mutating func expectEndpoints(of clusters: [CompiledResource], after delivered: [String: String])
    {
        for cluster in clusters where delivered[cluster.name] != cluster.version {
            channels[.endpoints]?.delivered[cluster.name] = nil
        }
    }
}
