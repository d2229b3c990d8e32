import MeshPrimitives

/// Chooses the filter chain of a new connection by Envoy's fixed order of properties, each narrowing what the last one
/// left, without ever going back (envoy.config.listener.v3.FilterChainMatch).
enum FilterChainMatcher {
    struct Subject {
        var destination: SocketAddress
        var source: SocketAddress
        var isTLS: Bool
        /// Empty if none was sent.
        var serverName: String
        var protocols: [String]
    }

    /// Index of the chain; nil if the listener has none for it.
    static func choose(_ listener: ListenerRecord, _ subject: Subject) -> Int? {
        let regular = listener.chains.indices.filter { $0 != Int(listener.defaultChain) }
        let chosen = choose(among: regular, listener, subject)
        return chosen ?? (listener.defaultChain < 0 ? nil : Int(listener.defaultChain))
    }

    private static func choose(among all: [Int], _ listener: ListenerRecord, _ subject: Subject) -> Int? {
        if all.count == 1, listener.chains[all[0]].match.isEmpty { return all[0] }
        var left = all
        func narrow(_ rank: (ChainMatchRecord) -> Int?) {
            // The best rank that any of them has; without one of its own a chain has rank 0, a mismatch none.
            let ranks = left.map { rank(listener.chains[$0].match) }
            let best = ranks.compactMap(\.self).max()
            left = zip(left, ranks).filter { $0.1 != nil && $0.1 == best }.map(\.0)
        }
        narrow { $0.destinationPort == 0 ? 0 : $0.destinationPort == subject.destination.port ? 1 : nil }
        narrow { Self.rank($0.destinations, subject.destination) }
        narrow { Self.nameRank($0.serverNames, subject.serverName) }
        narrow { match in
            switch match.transport {
            case .any: 0
            case .tls: subject.isTLS ? 1 : nil
            case .plain: subject.isTLS ? nil : 1
            }
        }
        narrow { match in
            if match.protocols.isEmpty { return 0 }
            return match.protocols.indices.contains { index in
                subject.protocols.contains { $0 == match.protocols[index].text }
            } ? 1 : nil
        }
        narrow { Self.rank($0.sources, subject.source) }
        return left.first
    }

    /// The longest prefix that holds the address, plus one; 0 where nothing is asked.
    private static func rank(_ ranges: Table<RangeRecord>, _ address: SocketAddress) -> Int? {
        if ranges.isEmpty { return 0 }
        return ranges.indices.filter { ranges[$0].contains(address) }.map { Int(ranges[$0].prefixLength) + 1 }
            .max()
    }

    /// An exact name beats every suffix, a longer suffix a shorter one.
    private static func nameRank(_ names: Table<ByteView>, _ name: String) -> Int? {
        if names.isEmpty { return 0 }
        if name.isEmpty { return nil }
        return name.withByteView { found in
            names.indices.compactMap { index -> Int? in
                let wanted = names[index]
                if found.equalsIgnoringCase(wanted) { return 1 << 16 }
                guard !wanted.isEmpty, wanted[0] == UInt8(ascii: "."), found.count > wanted.count else {
                    return nil
                }
                return found.dropFirst(found.count - wanted.count).equalsIgnoringCase(wanted)
                    ? wanted.count : nil
            }.max()
        }
    }
}

extension ChainMatchRecord {
    var isEmpty: Bool {
        destinationPort == 0 && transport == .any && destinations.isEmpty && sources.isEmpty
            && serverNames.isEmpty && protocols.isEmpty
    }
}
