import Glibc
import MeshPrimitives
import Synchronization

/// The statistics of one thread: pages of 64-bit words that this thread alone writes, with plain loads and stores that
/// cannot tear, and that others may read at any time. A page comes into being when it is first written to and never
/// moves, so a reader needs no lock and an idle cluster costs nothing.
///
/// The block frees its memory at its end; a `CounterWriter` of it must be gone by then.
@safe public final class CounterBlock: @unchecked Sendable {
    /// Bound of the table of pages; beyond the registry gives out its overflow scopes.
    @inlinable static var pagesMax: Int { 1 << 17 }

    private static var tableSize: Int { pagesMax * MemoryLayout<Atomic<UInt>>.stride }

    fileprivate let pages: UnsafeMutablePointer<Atomic<UInt>>

    public init() {
        // Zeroed memory is what an `Atomic` of 0 looks like, and costs nothing until it is touched.
        let memory = unsafe SparseMemory.allocate(Self.tableSize)
        unsafe pages = memory.assumingMemoryBound(to: Atomic<UInt>.self)
    }

    deinit {
        for index in 0..<Self.pagesMax {
            let address = unsafe pages[index].load(ordering: .relaxed)
            if address != 0 { unsafe free(UnsafeMutableRawPointer(bitPattern: address)) }
        }
        unsafe SparseMemory.free(pages, Self.tableSize)
    }

    /// For the thread whose block this is.
    public var writer: CounterWriter { unsafe CounterWriter(pages: pages) }

    /// As it is now, on any thread.
    public func value(_ scope: ClusterScope, _ counter: ClusterCounter) -> UInt64 {
        read(page: Int(scope.page), word: Int(counter.rawValue))
    }

    /// The word as it is now; 0 if its page was never written to.
    func read(page: Int, word: Int) -> UInt64 {
        precondition(page >= 0 && page < Self.pagesMax && word >= 0 && word < CounterWriter.wordsPerPage)
        let address = unsafe pages[page].load(ordering: .acquiring)
        guard let memory = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return 0 }
        return unsafe memory.assumingMemoryBound(to: Atomic<UInt64>.self)[word].load(ordering: .relaxed)
    }

    func hasPage(_ page: Int) -> Bool {
        precondition(page >= 0 && page < Self.pagesMax)
        return unsafe pages[page].load(ordering: .relaxed) != 0
    }
}

/// What a thread counts with: a plain copy of where its block's memory is, without reference counting.
@safe public struct CounterWriter: @unchecked Sendable, BitwiseCopyable {
    static let wordsPerPage = 512
    @usableFromInline let pages: UnsafeMutablePointer<Atomic<UInt>>

    @unsafe init(pages: UnsafeMutablePointer<Atomic<UInt>>) { unsafe self.pages = pages }

    @inlinable @inline(__always) public func add(
        _ scope: ClusterScope, _ counter: ClusterCounter, _ n: Int = 1
    ) {
        add(page: scope.page, word: Int(counter.rawValue), kind: .cluster, n)
    }

    @inlinable @inline(__always) public func add(_ scope: HTTPScope, _ counter: HTTPCounter, _ n: Int = 1) {
        add(page: scope.page, word: Int(counter.rawValue), kind: .http, n)
    }

    @inlinable @inline(__always) public func add(
        _ scope: ListenerScope, _ counter: ListenerCounter, _ n: Int = 1
    ) {
        add(page: scope.page, word: Int(counter.rawValue), kind: .listener, n)
    }

    @inlinable @inline(__always) public func add(
        _ scope: RateLimitScope, _ counter: RateLimitCounter, _ n: Int = 1
    ) {
        add(page: scope.page, word: Int(counter.rawValue), kind: .rateLimit, n)
    }

    public func add(_ scope: QuotaScope, _ counter: QuotaCounter, _ n: Int = 1) {
        add(page: scope.page, word: Int(counter.rawValue), kind: .quota, n)
    }

    public func add(_ scope: TCPScope, _ counter: TCPCounter, _ n: Int = 1) {
        add(page: scope.page, word: Int(counter.rawValue), kind: .tcp, n)
    }

    public func add(_ scope: ConnectionLimitScope, _ counter: ConnectionLimitCounter, _ n: Int = 1) {
        add(page: scope.page, word: Int(counter.rawValue), kind: .connectionLimit, n)
    }

    @inlinable @inline(__always) public func add(_ scope: ServerScope, _ counter: ServerCounter, _ n: Int = 1)
    {
        add(page: scope.page, word: Int(counter.rawValue), kind: .server, n)
    }

    /// Gives a gauge a value. Shown is the sum over all threads, so one thread alone should set it.
    public func set(_ scope: ClusterScope, _ counter: ClusterCounter, to value: Int) {
        set(page: scope.page, word: Int(counter.rawValue), kind: .cluster, value)
    }

    public func set(_ scope: ServerScope, _ counter: ServerCounter, to value: Int) {
        set(page: scope.page, word: Int(counter.rawValue), kind: .server, value)
    }

    public func record(_ scope: ClusterScope, _ histogram: ClusterHistogram, nanoseconds: Int64) {
        record(page: scope.page + 1 + histogram.rawValue, microseconds: nanoseconds / 1_000)
    }

    public func record(_ scope: HTTPScope, _ histogram: HTTPHistogram, nanoseconds: Int64) {
        record(page: scope.page + 1 + histogram.rawValue, microseconds: nanoseconds / 1_000)
    }

    public func record(_ scope: ListenerScope, _ histogram: ListenerHistogram, nanoseconds: Int64) {
        record(page: scope.page + 1 + histogram.rawValue, microseconds: nanoseconds / 1_000)
    }

    /// Nanoseconds in the place of microseconds: shown are microseconds, where the others show milliseconds.
    public func record(_ scope: ServerScope, _ histogram: ServerHistogram, nanoseconds: Int64) {
        record(page: scope.page + 1 + histogram.rawValue, microseconds: nanoseconds)
    }

    /// An answer of a cluster: `upstream_rq_completed`, `upstream_rq_2xx`, `upstream_rq_200`.
    public func countAnswer(_ scope: ClusterScope, status: UInt16) {
        add(scope, .upstreamRqCompleted)
        guard status >= 100, status <= 599 else { return }
        switch status / 100 {
        case 1: add(scope, .upstreamRq1xx)
        case 2: add(scope, .upstreamRq2xx)
        case 3: add(scope, .upstreamRq3xx)
        case 4: add(scope, .upstreamRq4xx)
        default: add(scope, .upstreamRq5xx)
        }
        add(page: scope.page + StatusTable.page, word: Int(status) - 100, words: StatusTable.count, 1)
    }

    /// An answer to a caller: `downstream_rq_completed`, `downstream_rq_2xx`.
    public func countAnswer(_ scope: HTTPScope, status: UInt16) {
        add(scope, .downstreamRqCompleted)
        switch status / 100 {
        case 1: add(scope, .downstreamRq1xx)
        case 2: add(scope, .downstreamRq2xx)
        case 3: add(scope, .downstreamRq3xx)
        case 4: add(scope, .downstreamRq4xx)
        case 5: add(scope, .downstreamRq5xx)
        default: break
        }
    }

    private func record(page: UInt32, microseconds: Int64) {
        let value = UInt64(max(0, microseconds))
        let bucket = HistogramBuckets.index(microseconds: value)
        let sum = HistogramBuckets.sumWord
        let memory = unsafe address(page) ?? makePage(page, words: HistogramBuckets.words)
        unsafe memory[bucket].store(memory[bucket].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        unsafe memory[sum].store(memory[sum].load(ordering: .relaxed) &+ value, ordering: .relaxed)
    }

    @inlinable @inline(__always)
    func add(page: UInt32, word: Int, kind: ScopeKind, _ n: Int) {
        if let memory = unsafe address(page) {
            let value = unsafe memory[word].load(ordering: .relaxed)
            unsafe memory[word].store(value &+ UInt64(bitPattern: Int64(n)), ordering: .relaxed)
        } else {
            addFirst(page: page, word: word, kind: kind, n)
        }
    }

    /// The first time that the page is written to.
    @inline(never) @usableFromInline func addFirst(page: UInt32, word: Int, kind: ScopeKind, _ n: Int) {
        add(page: page, word: word, words: kind.counterCount, n)
    }

    private func add(page: UInt32, word: Int, words: Int, _ n: Int) {
        let memory = unsafe address(page) ?? makePage(page, words: words)
        let value = unsafe memory[word].load(ordering: .relaxed)
        unsafe memory[word].store(value &+ UInt64(bitPattern: Int64(n)), ordering: .relaxed)
    }

    private func set(page: UInt32, word: Int, kind: ScopeKind, _ value: Int) {
        let memory = unsafe address(page) ?? makePage(page, words: kind.counterCount)
        unsafe memory[word].store(UInt64(bitPattern: Int64(value)), ordering: .relaxed)
    }

    @inlinable @inline(__always)
    func address(_ page: UInt32) -> UnsafeMutablePointer<Atomic<UInt64>>? {
        // Scopes come from the registry, which gives out no page beyond.
        assert(page < CounterBlock.pagesMax)
        let address = unsafe pages[Int(page)].load(ordering: .relaxed)
        return unsafe UnsafeMutableRawPointer(bitPattern: address)?.assumingMemoryBound(
            to: Atomic<UInt64>.self)
    }

    @inline(never)
    private func makePage(_ page: UInt32, words: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(words <= Self.wordsPerPage)
        guard let memory = unsafe calloc(words, MemoryLayout<Atomic<UInt64>>.stride) else {
            fatalError("out of memory")
        }
        unsafe pages[Int(page)].store(UInt(bitPattern: memory), ordering: .releasing)
        return unsafe memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}

/// Counts by status code, 100 to 599.
enum StatusTable {
    static let count = 500
    /// Behind the counters and the histograms of a cluster.
    static let page: UInt32 = 4
}
