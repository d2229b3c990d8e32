import MeshPrimitives
import Synchronization

/// One endpoint in this process: what all workers count together. It outlives the sets that it belongs to, so that a
/// change of membership forgets nothing about those who stay.
public final class EndpointState: Sendable {
    public let address: SocketAddress
    private let marksWord: Atomic<UInt32>
    public let requestsActive = Atomic<Int>(0)
    public let requestsTotal = Atomic<Int>(0)
    public let requestsSucceeded = Atomic<Int>(0)
    public let requestsFailed = Atomic<Int>(0)
    public let requestsTimedOut = Atomic<Int>(0)
    public let connectionsActive = Atomic<Int>(0)
    public let connectionsTotal = Atomic<Int>(0)
    public let connectionsFailed = Atomic<Int>(0)
    /// For peak EWMA.
    public let latency = LatencyAverage()
    /// After how long it closes a connection that carries nothing.
    public let idleClose = IdleCloseEstimate()
    /// Nanoseconds of the monotonic clock; `.min`: not known.
    private let healthySinceWord = Atomic<Int64>(.min)

    public init(address: SocketAddress, marks: EndpointMarks = []) {
        self.address = address
        marksWord = Atomic(marks.rawValue)
    }

    public var marks: EndpointMarks { EndpointMarks(rawValue: marksWord.load(ordering: .relaxed)) }
    public var health: EndpointHealth { marks.health }

    /// Where its slow start begins: it was added, or a check has passed that had failed.
    public var healthySince: MonotonicInstant? {
        let word = healthySinceWord.load(ordering: .relaxed)
        return word == .min ? nil : MonotonicInstant(nanoseconds: word)
    }

    public func becameHealthy(at now: MonotonicInstant) {
        healthySinceWord.store(now.nanoseconds, ordering: .relaxed)
    }

    /// Sets and removes marks; true if what the endpoint is worth is another thing now. Whoever does this tells the
    /// `EndpointSet`s that it belongs to.
    @discardableResult
    public func mark(adding added: EndpointMarks = [], removing removed: EndpointMarks = []) -> Bool {
        let (before, after) = (
            marksWord.bitwiseAnd(~removed.rawValue, ordering: .acquiringAndReleasing).oldValue,
            marksWord.bitwiseOr(added.rawValue, ordering: .acquiringAndReleasing).newValue
        )
        let (old, new) = (EndpointMarks(rawValue: before), EndpointMarks(rawValue: after))
        return old.health != new.health || old.isExcluded != new.isExcluded
    }

    public func requestStarted() {
        requestsActive.wrappingAdd(1, ordering: .relaxed)
        requestsTotal.wrappingAdd(1, ordering: .relaxed)
    }

    public func requestEnded(isSuccess: Bool) {
        let left = requestsActive.wrappingSubtract(1, ordering: .relaxed).newValue
        precondition(left >= 0)
        if isSuccess {
            requestsSucceeded.wrappingAdd(1, ordering: .relaxed)
        } else {
            requestsFailed.wrappingAdd(1, ordering: .relaxed)
        }
    }
}
