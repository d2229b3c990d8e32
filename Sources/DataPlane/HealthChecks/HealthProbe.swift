import HTTPModel
import MeshModel
import MeshPrimitives
import TrafficPolicy

/// What an endpoint said, or that it said nothing.
struct ProbeAnswer {
    var result: HealthCheckResult
    /// `x-envoy-immediate-health-check-fail`
    var isImmediateFailure = false
    /// The connection may serve the next check.
    var keepsProbe = false
    /// Of an answer in HTTP; 0: there was none.
    var status: UInt16 = 0
    /// For the log.
    var reason: String

    init(_ result: HealthCheckResult, keepsProbe: Bool = false, reason: String = "") {
        (self.result, self.keepsProbe, self.reason) = (result, keepsProbe, reason)
    }

    /// An answer in HTTP.
    init(_ head: borrowing MessageHead, _ bytes: ByteView, judge statuses: HTTPHealthStatuses) {
        isImmediateFailure =
            head.value(named: ByteView("x-envoy-immediate-health-check-fail"), in: bytes) != nil
        let isDegraded = head.value(named: ByteView("x-envoy-degraded"), in: bytes) != nil
        status = head.status
        result = statuses.judge(head.status, isDegraded: isDegraded)
        reason = "status \(head.status)"
    }
}

/// One way of asking an endpoint, over a connection of its own that it may keep from one question to the next.
protocol HealthProbe: AnyObject {
    /// Asks; `completion` is told once, in a later turn or at an event of the loop, unless `close` comes first.
    func ask(_ completion: @escaping (ProbeAnswer) -> Void)
    /// Ends the connection. Nobody is told anything any more.
    func close()
}

/// The head of a check by HTTP: the same every time.
struct CheckRequest {
    var method: String
    var scheme: String
    var host: String
    var path: String
    /// In lower case, without `host`.
    var fields: [(name: String, value: String)]

    init(_ check: HTTPCheck, host: String, isEncrypted: Bool) {
        (method, self.host, path) = (check.method, host, check.path)
        scheme = isEncrypted ? "https" : "http"
        fields = [("user-agent", "Envoy/HC")]
        for header in check.headers {
            if !header.appends { fields.removeAll { $0.name == header.name } }
            fields.append((header.name, header.value))
        }
        fields.removeAll { check.headersRemoved.contains($0.name) }
    }

    /// As HTTP/1.1.
    var bytes: [UInt8] {
        var text = "\(method) \(path) HTTP/1.1\r\nhost: \(host)\r\n"
        for field in fields { text += "\(field.name): \(field.value)\r\n" }
        if method == "POST" || method == "PUT" || method == "PATCH" { text += "content-length: 0\r\n" }
        return Array((text + "\r\n").utf8)
    }
}
