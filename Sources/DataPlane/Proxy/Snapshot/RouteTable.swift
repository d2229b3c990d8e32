import HTTPModel
import MeshModel
import MeshPrimitives
import TrafficPolicy

/// The routes of one route configuration, compiled. Finding one costs by the length of host and path, not by the
/// number of routes: hosts are hashed, paths walk a radix tree whose nodes list their routes in the operator's order.
/// The first route in that order that matches wholly wins (envoy.config.route.v3.VirtualHost.routes).
struct RouteTable: BitwiseCopyable {
    var name = ByteView("")
    var hosts = Table<VirtualHostRecord>()
    /// Exact domains, an open-addressed hash table of indices into `domains`, -1 for empty. Its size is a power of 2.
    var exactSlots = Table<Int32>()
    var domains = Table<DomainRecord>()
    /// `*.suffix`, the longest first; then `prefix.*`, likewise.
    var suffixes = Table<DomainRecord>()
    var prefixes = Table<DomainRecord>()
    /// Index of the host with the domain `*`; -1 if there is none.
    var catchAll: Int32 = -1
    var ignoresPort = false
    var routes = Table<RouteRecord>()

}

struct DomainRecord: BitwiseCopyable {
    /// Lower case; without the asterisk.
    var text: ByteView
    var host: Int32
}

struct VirtualHostRecord: BitwiseCopyable {
    var name: ByteView
    var tree: Table<PathNode>
    /// Indices into the table's `routes`, ascending in each node's ranges.
    var lists: Table<Int32>
    /// Routes that the tree cannot hold (case-insensitive ones, CONNECT), ascending.
    var others: Table<Int32>
    var requiresTLS: Bool
    var attemptCountInRequest: Bool
    var attemptCountInResponse: Bool
    var rateLimit: Int32
}

/// A node of the radix tree: `label` leads to it from its parent; children lie together, sorted by first byte.
struct PathNode: BitwiseCopyable {
    var label: ByteView
    var firstChild: Int32 = 0
    var childCount: Int32 = 0
    /// Ranges in `lists`.
    var exact = IndexRange()
    var prefix = IndexRange()
    var separated = IndexRange()
}

struct IndexRange: BitwiseCopyable {
    var start: Int32 = 0
    var count: Int32 = 0
}

struct HeaderMatchRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case present, absent, exact, prefix, suffix, contains, range }
    enum Subject: UInt8, BitwiseCopyable { case field, method, path, authority, scheme }

    var name: ByteView
    var subject = Subject.field
    var kind = Kind.present
    var value = ByteView("")
    var low: Int64 = 0
    var high: Int64 = 0
    var ignoresCase = false
    var isInverted = false
    var treatsMissingAsEmpty = false
}

struct QueryMatchRecord: BitwiseCopyable {
    var name: ByteView
    var kind = HeaderMatchRecord.Kind.present
    var value = ByteView("")
    var ignoresCase = false
}

struct WeightedClusterRecord: BitwiseCopyable {
    /// Index into the snapshot's clusters; -1 if there is no such cluster.
    var cluster: Int32
    /// Sum of the weights up to and with this one.
    var weightEnd: UInt64
    /// Indices into the snapshot's edit lists, those of route and host included; -1 for none.
    var requestEdits: Int32
    var answerEdits: Int32
}

struct RouteRecord: BitwiseCopyable {
    enum Action: UInt8, BitwiseCopyable { case forward, redirect, direct }
    enum PathKind: UInt8, BitwiseCopyable {
        case inTree, caseInsensitivePrefix, caseInsensitiveExact, connect
    }

    var name = ByteView("")
    var action = Action.forward
    var pathKind = PathKind.inTree
    /// The matched text, for rewriting the prefix and for the kinds outside the tree.
    var path = ByteView("")
    var headers = Table<HeaderMatchRecord>()
    var query = Table<QueryMatchRecord>()
    var fractionNumerator: UInt32 = 1
    var fractionDenominator: UInt32 = 1
    var isGRPC = false

    // Forwarding.
    var clusters = Table<WeightedClusterRecord>()
    var clusterHeader = ByteView("")
    var clusterNotFoundStatus: UInt16 = 503
    var priority: UInt8 = 0
    /// Nanoseconds; 0 for none.
    var timeout: Int64 = 0
    /// Nanoseconds; 0 for none, -1 for the connection manager's.
    var idleTimeout: Int64 = -1
    var maxStreamDuration: Int64 = 0
    var retry = RetrySettings.none
    /// A request with this header counts as idempotent; lower case, empty for none.
    var idempotencyHeader = ByteView("")
    var hasPrefixRewrite = false
    var prefixRewrite = ByteView("")
    var hostRewrite = ByteView("")
    var hostRewriteHeader = ByteView("")
    var rewritesHostAutomatically = false
    var appendsForwardedHost = false
    var propagatesDeadline = false
    var allowsWebSocket = false

    // Answers of our own.
    var status: UInt16 = 0
    var body = ByteView("")
    var redirect: Int32 = -1

    /// Indices into the snapshot's edit lists; -1 for none. Those of a weighted cluster go before.
    var requestEdits: Int32 = -1
    var answerEdits: Int32 = -1
    /// Index into the snapshot's rate limits; -1 for none.
    var rateLimit: Int32 = -1
    var host: Int32 = 0
}

extension RouteTable {
    /// Index of the virtual host for `authority`, which is copied in lower case to `scratch` to be compared.
    func host(for authority: ByteView, scratch: inout PooledBuffer) -> Int? {
        if hosts.isEmpty { return nil }
        if domains.isEmpty && suffixes.isEmpty && prefixes.isEmpty {
            return catchAll < 0 ? nil : Int(catchAll)
        }
        scratch.removeAll()
        var name = authority
        if ignoresPort, let colon = Self.portColon(name) { name = name.prefix(colon) }
        guard name.count <= scratch.room else { return catchAll < 0 ? nil : Int(catchAll) }
        for index in name.indices { _ = scratch.append(name[index].asciiLowercased) }
        let lower = scratch.view
        if !exactSlots.isEmpty {
            let mask = exactSlots.count - 1
            var slot = Int(truncatingIfNeeded: lower.hash64) & mask
            while exactSlots[slot] >= 0 {
                let domain = domains[Int(exactSlots[slot])]
                if domain.text.equals(lower) { return Int(domain.host) }
                slot = (slot + 1) & mask
            }
        }
        for index in suffixes.indices {
            let domain = suffixes[index]
            if lower.count > domain.text.count,
                lower.dropFirst(lower.count - domain.text.count).equals(domain.text)
            {
                return Int(domain.host)
            }
        }
        for index in prefixes.indices {
            let domain = prefixes[index]
            if lower.count > domain.text.count, lower.hasPrefix(domain.text) { return Int(domain.host) }
        }
        return catchAll < 0 ? nil : Int(catchAll)
    }

    /// Index of the colon before the port of "host:port" or "[v6]:port".
    static func portColon(_ authority: ByteView) -> Int? {
        var index = authority.count - 1
        while index >= 0, authority[index] &- 0x30 <= 9 { index -= 1 }
        guard index > 0, index < authority.count - 1, authority[index] == UInt8(ascii: ":") else {
            return nil
        }
        return index
    }

    /// Index of the route for a request to that virtual host.
    func route(
        in hostIndex: Int, head: borrowing @_addressable MessageHead, bytes: ByteView, isTLS: Bool,
        random: inout SeededRandom
    ) -> Int? {
        let (tree, lists, others) = (hosts[hostIndex].tree, hosts[hostIndex].lists, hosts[hostIndex].others)
        let target = bytes[head.path.range]
        let path = target.prefix(target.firstIndex(of: UInt8(ascii: "?")) ?? target.count)
        var best = Int32.max
        if head.method != .connect, !tree.isEmpty {
            var node = 0
            var position = 0
            while true {
                position += tree[node].label.count
                consider(tree[node].prefix, lists, &best, head, bytes, isTLS, &random)
                if position == path.count {
                    consider(tree[node].exact, lists, &best, head, bytes, isTLS, &random)
                    consider(tree[node].separated, lists, &best, head, bytes, isTLS, &random)
                    break
                }
                if path[position] == UInt8(ascii: "/") {
                    consider(tree[node].separated, lists, &best, head, bytes, isTLS, &random)
                }
                guard let child = child(of: node, for: path[position], in: tree),
                    path.dropFirst(position).hasPrefix(tree[child].label)
                else { break }
                node = child
            }
        }
        for index in others.indices where others[index] < best {
            let candidate = others[index]
            let route = routes[Int(candidate)]
            let matchesPath =
                switch route.pathKind {
                case .inTree: false
                case .connect: head.method == .connect
                case .caseInsensitiveExact: path.equalsIgnoringCase(route.path)
                case .caseInsensitivePrefix: path.prefix(route.path.count).equalsIgnoringCase(route.path)
                }
            if matchesPath, matches(route, head, bytes, isTLS, &random) { best = candidate }
        }
        return best == .max ? nil : Int(best)
    }

    private func child(of node: Int, for byte: UInt8, in tree: Table<PathNode>) -> Int? {
        var (low, high) = (
            Int(tree[node].firstChild), Int(tree[node].firstChild + tree[node].childCount)
        )
        while low < high {
            let middle = (low + high) / 2
            let first = tree[middle].label[0]
            if first == byte { return middle }
            if first < byte { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    private func consider(
        _ range: IndexRange, _ lists: Table<Int32>, _ best: inout Int32,
        _ head: borrowing @_addressable MessageHead,
        _ bytes: ByteView, _ isTLS: Bool, _ random: inout SeededRandom
    ) {
        for index in Int(range.start)..<Int(range.start + range.count) {
            let candidate = lists[index]
            if candidate >= best { return }
            if matches(routes[Int(candidate)], head, bytes, isTLS, &random) {
                best = candidate
                return
            }
        }
    }

    /// Everything of a route's match but its path.
    private func matches(
        _ route: borrowing @_addressable RouteRecord, _ head: borrowing @_addressable MessageHead,
        _ bytes: ByteView, _ isTLS: Bool,
        _ random: inout SeededRandom
    ) -> Bool {
        for index in route.headers.indices
        where !route.headers[index].matches(head, bytes, isTLS: isTLS) { return false }
        for index in route.query.indices where !route.query[index].matches(bytes[head.path.range]) {
            return false
        }
        if route.isGRPC {
            guard let type = head.value(of: .contentType, in: bytes), type.hasPrefix("application/grpc")
            else {
                return false
            }
        }
        if route.fractionNumerator < route.fractionDenominator {
            return random.below(UInt64(route.fractionDenominator)) < UInt64(route.fractionNumerator)
        }
        return true
    }
}

extension HeaderMatchRecord {
    func matches(_ head: borrowing @_addressable MessageHead, _ bytes: ByteView, isTLS: Bool) -> Bool {
        var value: ByteView? =
            switch subject {
            case .field: head.value(named: name, in: bytes)
            case .method: bytes[head.methodToken.range]
            case .path: bytes[head.path.range]
            case .authority: bytes[head.authority.range]
            case .scheme: isTLS ? ByteView("https") : ByteView("http")
            }
        if value == nil, treatsMissingAsEmpty { value = ByteView("") }
        switch kind {
        case .present: return (value != nil) != isInverted
        case .absent: return (value == nil) != isInverted
        case .exact, .prefix, .suffix, .contains, .range:
            // A missing header matches no value, not even an inverted one.
            guard let value else { return false }
            return test(value) != isInverted
        }
    }

    private func test(_ found: ByteView) -> Bool {
        if kind == .range {
            let isNegative = !found.isEmpty && found[0] == UInt8(ascii: "-")
            guard let magnitude = (isNegative ? found.dropFirst(1) : found).decimal else { return false }
            let number = Int64(isNegative ? -magnitude : magnitude)
            return number >= low && number < high
        }
        return kind.test(found, value, ignoresCase: ignoresCase)
    }
}

extension HeaderMatchRecord.Kind {
    func test(_ found: ByteView, _ wanted: ByteView, ignoresCase: Bool) -> Bool {
        func same(_ part: ByteView) -> Bool {
            ignoresCase ? part.equalsIgnoringCase(wanted) : part.equals(wanted)
        }
        switch self {
        case .present: return true
        case .absent, .range: return false
        case .exact: return same(found)
        case .prefix: return same(found.prefix(wanted.count))
        case .suffix: return same(found.dropFirst(max(found.count - wanted.count, 0)))
        case .contains:
            guard found.count >= wanted.count else { return false }
            for start in 0...(found.count - wanted.count) where same(found[start..<(start + wanted.count)]) {
                return true
            }
            return false
        }
    }
}

extension QueryMatchRecord {
    /// `target` is path and query. The first parameter of that name counts.
    func matches(_ target: ByteView) -> Bool {
        var found: ByteView?
        if let mark = target.firstIndex(of: UInt8(ascii: "?")) {
            var rest = target.dropFirst(mark + 1)
            while found == nil, !rest.isEmpty {
                let pair = rest.prefix(rest.firstIndex(of: UInt8(ascii: "&")) ?? rest.count)
                let split = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.count
                if pair.prefix(split).equals(name) { found = pair.dropFirst(split + 1) }
                rest = rest.dropFirst(pair.count + 1)
            }
        }
        switch kind {
        case .present: return found != nil
        case .absent: return found == nil
        case .exact, .prefix, .suffix, .contains, .range:
            guard let found else { return false }
            return kind.test(found, value, ignoresCase: ignoresCase)
        }
    }
}
