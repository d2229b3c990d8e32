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

    public init(address: SocketAddress, marks: EndpointMarks = []) {
        self.address = address
        marksWord = Atomic(marks.rawValue)
    }

    public var marks: EndpointMarks { EndpointMarks(rawValue: marksWord.load(ordering: .relaxed)) }
    public var health: EndpointHealth { marks.health }

    /// Sets and removes marks; true if the endpoint's health is another one now. Whoever does this tells the
    /// `EndpointSet`s that it belongs to.
    @discardableResult
    public func mark(adding added: EndpointMarks = [], removing removed: EndpointMarks = []) -> Bool {
        let (before, after) = (
            marksWord.bitwiseAnd(~removed.rawValue, ordering: .acquiringAndReleasing).oldValue,
            marksWord.bitwiseOr(added.rawValue, ordering: .acquiringAndReleasing).newValue
        )
        return EndpointMarks(rawValue: before).health != EndpointMarks(rawValue: after).health
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
