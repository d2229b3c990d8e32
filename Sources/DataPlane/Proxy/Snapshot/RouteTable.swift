import HTTPModel
import MeshModel
import MeshPrimitives
import RegularExpressions
import Telemetry
import TrafficPolicy

/// The routes of one route configuration, compiled. Finding one costs by the length of host and path, not by the
/// number of routes: hosts are hashed, paths walk a radix tree whose nodes list their routes in the operator's order
/// (a regular expression stands where the text that all its matches begin with ends). The first route in that order
/// that matches wholly wins (envoy.config.route.v3.VirtualHost.routes).
struct RouteTable: BitwiseCopyable {
    var name = ByteView("")
    var hosts = Table<VirtualHostRecord>()
    var domains = DomainTable()
    /// `*.suffix` and `prefix.*`, without the asterisk; the longest that fits wins.
    var suffixes = DomainTable()
    var prefixes = DomainTable()
    /// Index of the host with the domain `*`; -1 if there is none.
    var catchAll: Int32 = -1
    var ignoresPort = false
    /// A share of requests decides somewhere, so each needs a random number.
    var needsChance = false
    /// The caller's scheme decides somewhere.
    var needsScheme = false
    var routes = Table<RouteRecord>()
}

/// Names by their hash: open addressing, at most half full.
struct DomainTable: BitwiseCopyable {
    /// Indices into `names`, -1 for empty; their number is a power of 2.
    var slots = Table<Int32>()
    var names = Table<DomainRecord>()
    /// The lengths that names have, the greatest first.
    var lengths = Table<Int32>()

    init() {}

    init(_ records: [DomainRecord], in arena: Arena) {
        if records.isEmpty { return }
        var size = 4
        while size < records.count * 2 { size *= 2 }
        var slots = [Int32](repeating: -1, count: size)
        for (index, domain) in records.enumerated() {
            var slot = Int(truncatingIfNeeded: domain.text.hash64) & (size - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = Int32(index)
        }
        (self.slots, names) = (arena.store(slots), arena.store(records))
        lengths = arena.store(Set(records.map { Int32($0.text.count) }).sorted(by: >))
    }

    /// `name` is in lower case.
    func host(_ name: ByteView) -> Int32? {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: name.hash64) & mask
        while slots[slot] >= 0 {
            let domain = names[Int(slots[slot])]
            if domain.text.equals(name) { return domain.host }
            slot = (slot + 1) & mask
        }
        return nil
    }

    /// The longest name that is a part of the longer `name`, as `part` cuts it.
    func longest(_ name: ByteView, _ part: (ByteView, Int) -> ByteView) -> Int32? {
        for index in lengths.indices where Int(lengths[index]) < name.count {
            if let host = host(part(name, Int(lengths[index]))) { return host }
        }
        return nil
    }

    var isEmpty: Bool { names.isEmpty }
}

struct DomainRecord: BitwiseCopyable {
    /// Lower case; without the asterisk.
    var text: ByteView
    var host: Int32
}

struct VirtualHostRecord: BitwiseCopyable {
    var name: ByteView
    var tree: PathTree
    /// Of the routes that take paths in either case.
    var foldedTree: PathTree
    /// Routes for CONNECT, ascending.
    var connects: Table<Int32>
    /// The first route, if it takes every path that begins with "/", whatever else the request is (CONNECT apart);
    /// else -1.
    var takesAll: Int32
    /// The route that sends who comes without TLS to https; -1 if TLS is not required.
    var toHTTPS: Int32
    var attemptCountInRequest: Bool
    var attemptCountInResponse: Bool
    var rateLimitRules: Table<RateLimitRuleRecord>
}

struct WeightedClusterRecord: BitwiseCopyable {
    /// Index into the snapshot's clusters; -1 if there is no such cluster.
    var cluster: Int32
    /// Sum of the weights up to and with this one.
    var weightEnd: UInt64
    /// Indices into the snapshot's edit lists, those of route and host included; -1 for none.
    var requestEdits: Int32
    var answerEdits: Int32
    /// What the route says of subsets: index into the snapshot's criteria, -1 for nothing.
    var criteria: Int32 = -1
    /// And which subset of the snapshot's cluster that is.
    var subset: SubsetChoice?
    /// Settings of filters for requests that go there; empty where all are the route's.
    var filters = Table<Int32>()
}

/// `regex_rewrite`, or a host made from a path: every match is replaced.
struct RewriteRecord: BitwiseCopyable {
    var regex: Unowned<RegularExpression>
    var substitution: ByteView
}

/// What becomes of a path, of a request or of a redirect.
struct PathRewriteRecord: BitwiseCopyable {
    /// In place of what the route's match names; empty for none.
    var prefix = ByteView("")
    var regex: RewriteRecord?
    /// Bytes that the match names; -1 for the whole path.
    var matched: Int32 = -1

    var isNone: Bool { prefix.isEmpty && regex == nil }
}

/// A retry policy, compiled.
struct RetryRecord: BitwiseCopyable {
    var settings = RetrySettings.none
    var omittedMetadata: Int32 = -1
    /// Lower case, empty for none.
    var idempotencyHeader = ByteView("")
    var answers = Table<HeaderMatchRecord>()
    var requests = Table<HeaderMatchRecord>()
    var resetFields = Table<ResetFieldRecord>()
}

struct RouteRecord: BitwiseCopyable {
    enum Action: UInt8, BitwiseCopyable { case forward, redirect, direct }

    var name = ByteView("")
    /// For the flight recorder: of the route, or its match where it has no name; and of its virtual host.
    var nameID = NameID.none
    var hostID = NameID.none
    var action = Action.forward
    /// The whole path has to match.
    var pathRegex: Unowned<RegularExpression>?
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
    /// Its milliseconds, as every request tells them; empty if there is none.
    var timeoutText = ByteView("")
    /// Nanoseconds; 0 for none, -1 for the connection manager's.
    var idleTimeout: Int64 = -1
    /// Nanoseconds; 0 for none, -1 for the connection manager's.
    var maxStreamDuration: Int64 = -1
    /// What `grpc-timeout` may ask for in its place; 0: anything, -1: it is not looked at. Nanoseconds.
    var grpcTimeoutMax: Int64 = -1
    var grpcTimeoutOffset: Int64 = 0
    var retry = RetrySettings.none
    /// A request with this header counts as idempotent; lower case, empty for none.
    var idempotencyHeader = ByteView("")
    var retriableHeaders = Table<HeaderMatchRecord>()
    var retriableRequestHeaders = Table<HeaderMatchRecord>()
    var resetFields = Table<ResetFieldRecord>()
    /// One entry, where a policy is in shadow mode.
    var shadow = Table<ShadowRecord>()
    /// Of a redirect too.
    var pathRewrite = PathRewriteRecord()
    var hostRewrite = ByteView("")
    var hostRewriteHeader = ByteView("")
    var hostFromPath: RewriteRecord?
    var rewritesHostAutomatically = false
    var appendsForwardedHost = false
    var propagatesDeadline = false
    /// Bytes of a body that are kept to repeat it; -1 for the listener's limit.
    var bufferLimit: Int32 = -1
    /// Protocols, lower case, for which the route decides by itself; all others are the connection manager's.
    var upgradesTaken = Table<ByteView>()
    var upgradesRefused = Table<ByteView>()
    /// A CONNECT ends here: its bytes go to the endpoint as they are.
    var endsConnect = false
    var mirrors = Table<MirrorRecord>()
    var hashing = Table<HashPolicyRecord>()
    /// What the route says of subsets, where a header names the cluster.
    var criteria: Int32 = -1
    var internalRedirects = InternalRedirectRecord()

    // Answers of our own.
    var status: UInt16 = 0
    var body = ByteView("")
    /// Index into the snapshot's redirects; -1 for none.
    var redirect: Int32 = -1

    /// Indices into the snapshot's edit lists; -1 for none. Those of a weighted cluster go before.
    var requestEdits: Int32 = -1
    var answerEdits: Int32 = -1
    /// The route's own.
    var rateLimitRules = Table<RateLimitRuleRecord>()
    var includesHostRateLimits = false
    /// For each filter of the connection manager the index of its settings; empty where all are the filters' own.
    var filters = Table<Int32>()
    /// One entry, where the route's own shares or tags are in force.
    var tracing = Table<TracingRecord>()
    /// What spans are called; empty for none.
    var operation = ByteView("")
    /// The proxy on the other side gets to know it.
    var tellsOperation = true
    var metadata = Table<MetadataRecord>()
    /// Weighted clusters have settings of their own.
    var hasClusterFilters = false
    /// Index of metadata that endpoints are passed over for when a request is repeated; -1 for none.
    var omittedMetadata: Int32 = -1
    var host: Int32 = 0
}

extension RouteRecord {
    /// It sends requests under another path or host than they came with.
    var rewrites: Bool {
        @_addressableSelf get {
            !pathRewrite.isNone || !hostRewrite.isEmpty || !hostRewriteHeader.isEmpty || hostFromPath != nil
                || rewritesHostAutomatically
        }
    }
}

extension RouteTable {
    /// Index of the virtual host for `authority`, which is copied in lower case to `scratch` to be compared.
    @_addressableSelf func host(for authority: ByteView, scratch: inout PooledBuffer) -> Int? {
        if hosts.isEmpty { return nil }
        let rest = catchAll < 0 ? nil : Int(catchAll)
        if domains.isEmpty && suffixes.isEmpty && prefixes.isEmpty { return rest }
        scratch.removeAll()
        var name = authority
        if ignoresPort, let colon = Self.portColon(name) { name = name.prefix(colon) }
        guard name.count <= scratch.room else { return rest }
        for index in name.indices { _ = scratch.append(name[index].asciiLowercased) }
        let lower = scratch.view
        if !domains.isEmpty, let host = domains.host(lower) { return Int(host) }
        if !suffixes.isEmpty, let host = suffixes.longest(lower, { $0.dropFirst($0.count - $1) }) {
            return Int(host)
        }
        if !prefixes.isEmpty, let host = prefixes.longest(lower, { $0.prefix($1) }) { return Int(host) }
        return rest
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

    /// Index of the route for a request to that virtual host. `scratch` is for the path in lower case.
    @inline(__always) @_addressableSelf func route(
        in hostIndex: Int, head: borrowing @_addressable MessageHead, _ question: RouteQuestion,
        scratch: inout PooledBuffer
    ) -> Int? {
        let host = hosts[hostIndex]
        if host.toHTTPS >= 0, !question.isHTTPS { return Int(host.toHTTPS) }
        if host.takesAll >= 0, head.method != .connect, head.path.count > 0,
            question.bytes[Int(head.path.start)] == UInt8(ascii: "/")
        {
            return Int(host.takesAll)
        }
        return search(hostIndex, head, question, scratch: &scratch)
    }

    /// Where the first route does not take all.
    @_addressableSelf private func search(
        _ hostIndex: Int, _ head: borrowing @_addressable MessageHead, _ question: RouteQuestion,
        scratch: inout PooledBuffer
    ) -> Int? {
        let host = hosts[hostIndex]
        var best = Int32.max
        if head.method == .connect {
            for index in host.connects.indices where host.connects[index] < best {
                if routes[Int(host.connects[index])].matches(head, path: ByteView(""), question) {
                    best = host.connects[index]
                }
            }
            return best == .max ? nil : Int(best)
        }
        let target = question.bytes[head.path.range]
        let path = target.prefix(target.firstIndex(of: UInt8(ascii: "?")) ?? target.count)
        if !host.tree.nodes.isEmpty { walk(host.tree, path, path, head, question, &best) }
        if !host.foldedTree.nodes.isEmpty {
            scratch.removeAll()
            for index in path.indices { _ = scratch.append(path[index].asciiLowercased) }
            walk(host.foldedTree, scratch.view, path, head, question, &best)
        }
        return best == .max ? nil : Int(best)
    }

    /// Follows `key` down the tree; on the way `best` becomes the first route that matches, if it comes before `best`.
    private func walk(
        _ tree: PathTree, _ key: ByteView, _ path: ByteView, _ head: borrowing @_addressable MessageHead,
        _ question: RouteQuestion, _ best: inout Int32
    ) {
        var node = 0
        var position = 0
        while true {
            let record = tree.nodes.reference(node)
            position += record.value.label.count
            if !record.value.prefix.isEmpty {
                consider(record.value.prefix, tree.lists, path, head, question, &best)
            }
            if position == key.count {
                if !record.value.exact.isEmpty {
                    consider(record.value.exact, tree.lists, path, head, question, &best)
                }
                if !record.value.separated.isEmpty {
                    consider(record.value.separated, tree.lists, path, head, question, &best)
                }
                return
            }
            if !record.value.separated.isEmpty, key[position] == UInt8(ascii: "/") {
                consider(record.value.separated, tree.lists, path, head, question, &best)
            }
            guard let child = record.value.childBytes.firstIndex(of: key[position]) else { return }
            node = Int(record.value.firstChild) + child
            let label = tree.nodes[node].label
            if label.count > 1, !key.dropFirst(position).hasPrefix(label) { return }
        }
    }

    private func consider(
        _ range: IndexRange, _ lists: Table<Int32>, _ path: ByteView,
        _ head: borrowing @_addressable MessageHead, _ question: RouteQuestion, _ best: inout Int32
    ) {
        for index in Int(range.start)..<Int(range.start + range.count) {
            let candidate = lists[index]
            if candidate >= best { return }
            if routes[Int(candidate)].matches(head, path: path, question) {
                best = candidate
                return
            }
        }
    }
}
