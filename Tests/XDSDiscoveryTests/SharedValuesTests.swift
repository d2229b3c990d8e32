import MeshModel
import Testing

@Suite("Values that copies share")
struct SharedValuesTests {
    @Test("A copy of a cluster that is changed leaves the others as they were")
    func clusters() {
        var first = Cluster(name: "a")
        first.normalLimits.requests = 7
        let copy = first
        var changed = copy
        changed.normalLimits.requests = 8
        changed.name = "b"
        changed.localities.append(LocalityEndpoints(endpoints: []))
        #expect(first == copy && first.normalLimits.requests == 7 && first.localities.isEmpty)
        #expect(changed != copy && changed.name == "b" && changed.normalLimits.requests == 8)
        var same = Cluster(name: "a")
        #expect(same != first)
        same.normalLimits.requests = 7
        #expect(same == first)
    }

    @Test("Rare values are equal by what they say, and are given away and taken back like any other")
    func rare() {
        var (left, right) = (Forward(target: .header("x")), Forward(target: .header("x")))
        #expect(left == right && left.retryPolicy == nil && left.$retryPolicy.isNone)
        left.retryPolicy = RetryPolicy(retryOn: ["5xx"])
        #expect(left != right && !left.$retryPolicy.isNone)
        right.$retryPolicy = left.$retryPolicy
        #expect(left == right)
        right.retryPolicy?.attempts = 3
        #expect(left.retryPolicy?.attempts == 1 && right.retryPolicy?.attempts == 3 && left != right)
        right.retryPolicy = RetryPolicy(retryOn: ["5xx"])
        #expect(left == right)
        left.retryPolicy = nil
        #expect(left.retryPolicy == nil && left != right)
    }

    @Test("A value that is as usual is the usual one, whether it was said or not")
    func usual() {
        var (left, right) = (Cluster(name: "a"), Cluster(name: "a"))
        left.http2.initialStreamWindow = 70_000
        #expect(left != right && left.http2.initialStreamWindow == 70_000)
        right.http2.initialStreamWindow = 70_000
        #expect(left == right)
        left.http2 = HTTP2Options()
        right.http2 = HTTP2Options()
        #expect(left == right && left == Cluster(name: "a"))
        left.dropShare = Fraction(numerator: 5, denominator: 100)
        #expect(left.dropShare.numerator == 5 && right.dropShare == .none && left != right)
    }
}
