import Synchronization

/// Gives names their places on the pages of all threads, and puts the numbers of all threads together.
///
/// A name keeps its place as long as it is in use; a place that was retired may be given to another name later, which
/// then starts from the numbers that it finds. The number of places is bounded: beyond it all further names of a kind
/// share one scope, `overflow`, and are counted (`server.statistics_overflow`).
public final class StatisticsRegistry: Sendable {
    private struct Key: Hashable {
        let kind: ScopeKind
        let name: String
    }

    private struct Entry {
        let page: UInt32
        /// What the words held when the place was given to this name; empty where they were new. One array per page.
        let baseline: [[UInt64]]
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        var retired: [ScopeKind: [UInt32]] = [:]
        var nextPage: UInt32 = 0
        var overflows: UInt64 = 0
        var blocks: [CounterBlock] = []
    }

    private let state = Mutex(State())
    private let pagesMax: UInt32
    private let overflowPages: [ScopeKind: UInt32]
    public let server: ServerScope

    /// `pagesMax`: up to five for each name.
    public init(pagesMax: Int = 1 << 17) {
        precondition(pagesMax <= CounterBlock.pagesMax && pagesMax >= 64)
        self.pagesMax = UInt32(pagesMax)
        var overflowPages: [ScopeKind: UInt32] = [:]
        var next: UInt32 = 0
        for kind in ScopeKind.allCases {
            overflowPages[kind] = next
            next += UInt32(kind.pageCount)
        }
        self.overflowPages = overflowPages
        server = ServerScope(page: next)
        let first = next
        state.withLock {
            $0.entries[Key(kind: .server, name: "")] = Entry(page: first, baseline: [])
            $0.nextPage = first + UInt32(ScopeKind.server.pageCount)
        }
    }

    /// A block for one thread; its numbers count from now on and for ever.
    public func makeBlock() -> CounterBlock {
        let block = CounterBlock()
        state.withLock { $0.blocks.append(block) }
        return block
    }

    /// So many names are about to be asked for.
    public func reserve(_ count: Int) {
        state.withLock {
            if $0.entries.count < count { $0.entries.reserveCapacity($0.entries.count + count) }
        }
    }

    // Colons in names become underscores, as Envoy has them in addresses and names.
    public func cluster(_ name: String) -> ClusterScope { ClusterScope(page: page(.cluster, name)) }
    public func http(_ prefix: String) -> HTTPScope { HTTPScope(page: page(.http, prefix)) }
    public func listener(_ address: String) -> ListenerScope { ListenerScope(page: page(.listener, address)) }
    public func rateLimit(_ prefix: String) -> RateLimitScope {
        RateLimitScope(page: page(.rateLimit, prefix))
    }

    public func connectionLimit(_ prefix: String) -> ConnectionLimitScope {
        ConnectionLimitScope(page: page(.connectionLimit, prefix))
    }

    public func quota(_ domain: String) -> QuotaScope { QuotaScope(page: page(.quota, domain)) }

    public func tcp(_ prefix: String) -> TCPScope { TCPScope(page: page(.tcp, prefix)) }

    /// The name is shown no longer, and its place is free for another one. Whoever still counts there spoils the
    /// numbers of that other one, so call this when the last user is gone.
    public func retire(_ kind: ScopeKind, _ name: String) {
        precondition(kind != .server)
        state.withLock { state in
            guard let entry = state.entries.removeValue(forKey: Key(kind: kind, name: Self.sanitized(name)))
            else {
                return
            }
            state.retired[kind, default: []].append(entry.page)
        }
    }

    /// All numbers of all threads, by kind and name.
    public func snapshot() -> StatisticsSnapshot {
        let (entries, blocks, overflows) = state.withLock { ($0.entries, $0.blocks, $0.overflows) }
        var scopes = entries.map { Self.read($0.key.kind, $0.key.name, $0.value, blocks) }
        if overflows > 0 {
            for (kind, page) in overflowPages where blocks.contains(where: { $0.hasPage(Int(page)) }) {
                scopes.append(Self.read(kind, "overflow", Entry(page: page, baseline: []), blocks))
            }
        }
        scopes.sort { ($0.kind.rawValue, $0.name) < ($1.kind.rawValue, $1.name) }
        var snapshot = StatisticsSnapshot(scopes: scopes)
        if overflows > 0 { snapshot.set(.serverStatisticsOverflow, to: overflows) }
        return snapshot
    }

    private func page(_ kind: ScopeKind, _ name: String) -> UInt32 {
        let key = Key(kind: kind, name: Self.sanitized(name))
        return state.withLock { state in
            if let entry = state.entries[key] { return entry.page }
            if state.nextPage + UInt32(kind.pageCount) <= pagesMax {
                let page = state.nextPage
                state.nextPage += UInt32(kind.pageCount)
                state.entries[key] = Entry(page: page, baseline: [])
                return page
            }
            if let page = state.retired[kind]?.popLast() {
                let found = (0..<kind.pageCount).map {
                    Self.sums(page: Int(page) + $0, words: kind.words(onPage: $0), state.blocks)
                }
                state.entries[key] = Entry(page: page, baseline: found)
                return page
            }
            state.overflows += 1
            return overflowPages[kind] ?? 0
        }
    }

    private static func sanitized(_ name: String) -> String {
        name.utf8.contains(UInt8(ascii: ":")) ? String(name.map { $0 == ":" ? "_" : $0 }) : name
    }

    private static func sums(page: Int, words: Int, _ blocks: [CounterBlock]) -> [UInt64] {
        var sums = [UInt64](repeating: 0, count: words)
        for block in blocks where block.hasPage(page) {
            for word in 0..<words { sums[word] &+= block.read(page: page, word: word) }
        }
        return sums
    }

    private static func read(
        _ kind: ScopeKind, _ name: String, _ entry: Entry, _ blocks: [CounterBlock]
    ) -> StatisticsSnapshot.Scope {
        let pages = (0..<kind.pageCount).map { number in
            var sums = sums(page: Int(entry.page) + number, words: kind.words(onPage: number), blocks)
            if number < entry.baseline.count {
                for word in sums.indices { sums[word] &-= entry.baseline[number][word] }
            }
            return sums
        }
        let histogramCount = kind.histogramNames.count
        return StatisticsSnapshot.Scope(
            kind: kind, name: name,
            // A worker may give back what another one took; a sum read in between can be below zero.
            values: pages[0].map { Int64(bitPattern: $0) < 0 ? 0 : $0 },
            histograms: (0..<histogramCount).map { HistogramSnapshot(words: pages[1 + $0]) },
            statuses: kind.hasStatusTable ? pages[1 + histogramCount] : [])
    }
}

extension ScopeKind {
    func words(onPage number: Int) -> Int {
        if number == 0 { return counterCount }
        return number <= histogramNames.count ? HistogramBuckets.words : StatusTable.count
    }
}
