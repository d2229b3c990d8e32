import MeshModel
import MeshPrimitives
import XDSClient

/// Puts addresses in the place of endpoints' names, and looks the names up again and again. A name that cannot be
/// looked up keeps the addresses that it had; one of which a server says that it has none loses them in a STRICT_DNS
/// cluster, as in Envoy, and keeps them in a LOGICAL_DNS one.
public final class EndpointNames {
    /// For statistics: `cluster.NAME.update_*`.
    public enum Outcome: Sendable {
        case attempt, failure, success
        /// After a success: nothing is to be done.
        case unchanged
    }

    private struct Key: Hashable {
        var host: String
        var cluster: String
    }

    private final class Name {
        let host: String
        var lookup: NameLookup
        var isLogical: Bool
        var addresses: [SocketAddress] = []
        var isAnswered = false
        /// Failures in a row.
        var failures = 0
        var timer: ControlLoop.Timer?
        /// A lookup is under way that was begun by this number.
        var number: UInt64 = 0
        var isOpen = false

        init(_ host: String, _ lookup: NameLookup, isLogical: Bool) {
            (self.host, self.lookup, self.isLogical) = (host, lookup, isLogical)
        }
    }

    private let loop: ControlLoop
    private let makeSource: () -> any NameSource
    /// Made with the first name.
    private var source: (any NameSource)?
    private var names: [Key: Name] = [:]
    private var numbers: UInt64 = 0
    /// Addresses are other ones than before, or a name has its first answer.
    public var changed: (() -> Void)?
    public var count: ((_ cluster: String, Outcome) -> Void)?

    /// `makeSource`: not called while there is no name.
    public init(loop: ControlLoop, makeSource: @escaping () -> any NameSource) {
        (self.loop, self.makeSource) = (loop, makeSource)
    }

    /// Every name has had an answer, if only that there is none.
    public var isComplete: Bool { names.values.allSatisfy(\.isAnswered) }

    /// The configuration with the addresses that are known now; what it names is looked up from now on.
    public func resolved(_ configuration: Configuration) -> Configuration {
        var configuration = configuration
        var wanted: Set<Key> = []
        for index in configuration.clusters.indices {
            let cluster = configuration.clusters[index]
            guard cluster.discovery == .strictDNS || cluster.discovery == .logicalDNS else { continue }
            for place in cluster.localities.indices {
                configuration.clusters[index].localities[place].endpoints =
                    cluster.localities[place].endpoints.flatMap { endpoint -> [Endpoint] in
                        guard case .name(let host, let port) = endpoint.address else { return [endpoint] }
                        let key = Key(host: host, cluster: cluster.name)
                        wanted.insert(key)
                        return addresses(key, cluster).map { Self.copy(endpoint, $0, port, host) }
                    }
            }
        }
        forget { !wanted.contains($0) }
        return configuration
    }

    private static func copy(
        _ endpoint: Endpoint, _ address: SocketAddress, _ port: UInt16, _ host: String
    ) -> Endpoint {
        var copy = endpoint
        copy.address = .numeric(
            SocketAddress(family: address.family, high: address.high, low: address.low, port: port))
        if copy.hostname.isEmpty { copy.hostname = host }
        return copy
    }

    private func addresses(_ key: Key, _ cluster: Cluster) -> [SocketAddress] {
        let isLogical = cluster.discovery == .logicalDNS
        if let known = names[key] {
            if known.lookup != cluster.nameLookup {
                known.lookup = cluster.nameLookup
                known.failures = 0
                lookUp(key, known)
            }
            known.isLogical = isLogical
            // Of a logical name one address at a time is used.
            return Array(known.addresses.prefix(isLogical ? 1 : .max))
        }
        let name = Name(key.host, cluster.nameLookup, isLogical: isLogical)
        names[key] = name
        lookUp(key, name)
        return []
    }

    private func forget(_ isGone: (Key) -> Bool) {
        let gone = names.filter { isGone($0.key) }
        for (key, name) in gone {
            if let timer = name.timer { loop.cancel(timer) }
            name.timer = nil
            name.number = 0
            names[key] = nil
        }
        if !gone.isEmpty { source?.retain(Set(names.values.map(\.lookup.resolver))) }
    }

    // MARK: Lookups

    private func lookUp(_ key: Key, _ name: Name) {
        if let timer = name.timer { loop.cancel(timer) }
        name.timer = nil
        numbers += 1
        name.number = numbers
        let number = numbers
        count?(key.cluster, .attempt)
        let source = source ?? makeSource()
        self.source = source
        source.lookUp(name.host, name.lookup.family, by: name.lookup.resolver) {
            [weak self, weak name] answer in
            guard let self, let name, name.number == number else { return }
            self.answered(key, name, answer)
        }
    }

    private func answered(_ key: Key, _ name: Name, _ answer: Result<NameAnswer, LookupFailure>) {
        let wasAnswered = name.isAnswered
        name.isAnswered = true
        var isOther = false
        var wait = name.lookup.refresh.nanoseconds
        switch answer {
        case .success(let answer):
            name.failures = 0
            count?(key.cluster, .success)
            if !answer.addresses.isEmpty || !name.isLogical {
                isOther = take(answer.addresses, name)
            }
            if !isOther { count?(key.cluster, .unchanged) }
            if name.lookup.respectsTTL, answer.ttl > 0 { wait = Int64(answer.ttl) * 1_000_000_000 }
        case .failure:
            count?(key.cluster, .failure)
            if let failure = name.lookup.failure { wait = backOff(name.failures, failure) }
            name.failures = min(name.failures + 1, 62)
        }
        arm(key, name, wait)
        if isOther || !wasAnswered { changed?() }
    }

    /// True if they are other ones than before. The order of a server that turns them round is no change, except for a
    /// logical name, whose first one counts.
    private func take(_ addresses: [SocketAddress], _ name: Name) -> Bool {
        let isSame =
            name.isLogical
            ? name.addresses.first == addresses.first : Set(name.addresses) == Set(addresses)
        if isSame { return false }
        name.addresses = addresses
        return true
    }

    private func backOff(_ failures: Int, _ failure: NameLookup.Failure) -> Int64 {
        let most = failure.max.nanoseconds
        let (doubled, isTooLong) = failure.base.nanoseconds.multipliedReportingOverflow(
            by: 1 << Int64(min(failures, 62)))
        let interval = isTooLong ? most : min(doubled, most)
        return Int64(loop.random.below(UInt64(max(interval, 1))))
    }

    private func arm(_ key: Key, _ name: Name, _ wait: Int64) {
        let jitter = name.lookup.jitter.nanoseconds
        let more = jitter > 0 ? Int64(loop.random.below(UInt64(jitter))) : 0
        name.timer = loop.after(max(wait, 1_000_000) + more) { [weak self, weak name] in
            guard let self, let name else { return }
            name.timer = nil
            self.lookUp(key, name)
        }
    }
}
