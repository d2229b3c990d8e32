import Glibc
import MeshPrimitives
import Synchronization

/// What the four services answer. Business paths obey the behaviour that was asked for; the others always work:
///
///     portal    GET /            asks orders for /orders/42
///               POST /buy        asks orders to POST /orders
///     orders    GET /orders/N    asks quotes for /quotes/ACME
///               POST /orders     asks quotes, then payments to POST /payments
///     quotes    GET /quotes/S    a price
///     payments  POST /payments   books once for every `x-payment-id` or body
///     all       GET /trace       what this service and all behind it saw in their heads
///               GET /stream      chunks (?chunks=N&bytes=N)
final class Service: Sendable {
    private struct Counts {
        var requests = 0
        var failed = 0
        /// How often each payment came.
        var payments: [String: Int] = [:]
        static let paymentsMax = 100_000
    }

    /// What a program that takes part in traces hands on (W3C trace context, B3, and Envoy's request id).
    private static let traceFields: Set<String> = [
        "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled",
        "x-b3-flags", "x-request-id",
    ]

    private let name: Options.ServiceName
    private let version: String
    /// Set once the sidecar is there, which in turn waits for the service's own port.
    private let client: Mutex<HTTPClient?>
    private let behaviour: Mutex<Behaviour>
    private let counts = Mutex(Counts())

    init(_ options: Options) {
        (name, version) = (options.service, options.version)
        client = Mutex(options.outbound.map(HTTPClient.init(address:)))
        behaviour = Mutex(options.behaviour)
    }

    func answer(_ request: HTTPRequest) -> HTTPResponse {
        switch (request.method, request.path) {
        case (_, "/healthz"): return ok([])
        case (_, "/headers"): return ok([("headers", seen(request))])
        case (_, "/counts"): return HTTPResponse(200, json: counted())
        case ("POST", "/admin/fail"), ("POST", "/admin/hang"), ("POST", "/admin/delay"):
            return administer(request)
        case ("POST", "/admin/outbound"): return send(request.query["to"])
        case ("GET", "/stream"): return stream(request)
        case ("GET", "/trace"): return trace(request)
        default: return business(request)
        }
    }

    // MARK: - Business

    private func business(_ request: HTTPRequest) -> HTTPResponse {
        let number = counts.withLock { counts in
            counts.requests += 1
            return counts.requests
        }
        if name == .payments && request.method == "POST" { book(request) }
        misbehave()
        let ratio = behaviour.withLock { $0.failRatio }
        // Evenly spread, so that a demonstration does not depend on luck: 0.5 is every other request.
        if Int(Double(number) * ratio) != Int(Double(number - 1) * ratio) {
            counts.withLock { $0.failed += 1 }
            return HTTPResponse(500, json: .object([("error", .string("told to fail"))]))
        }
        switch (name, request.method) {
        case (.portal, "GET"): return calling([("orders", "GET", "/orders/42")], for: request)
        case (.portal, "POST"): return calling([("orders", "POST", "/orders")], for: request)
        case (.orders, "GET"): return calling([("quotes", "GET", "/quotes/ACME")], for: request)
        case (.orders, "POST"):
            return calling(
                [("quotes", "GET", "/quotes/ACME"), ("payments", "POST", "/payments")], for: request)
        case (.quotes, "GET"):
            return ok([
                ("symbol", .string("ACME")), ("price", .number(101.25)), ("request", .integer(number)),
            ])
        case (.payments, "POST"): return ok([("payment", .string(paymentID(request)))])
        case (.payments, _), (.quotes, _), (.portal, _), (.orders, _):
            return HTTPResponse(404, json: .object([("error", .string("no such path"))]))
        }
    }

    private func misbehave() {
        let delay = behaviour.withLock { $0.delayMilliseconds }
        if delay > 0 { usleep(UInt32(delay) * 1000) }
        while behaviour.withLock({ $0.hangs }) { usleep(20_000) }
    }

    private func paymentID(_ request: HTTPRequest) -> String {
        request.fields["x-payment-id"] ?? String(decoding: request.body.prefix(128), as: UTF8.self)
    }

    private func book(_ request: HTTPRequest) {
        let identity = paymentID(request)
        counts.withLock { counts in
            guard counts.payments[identity] != nil || counts.payments.count < Counts.paymentsMax else {
                return
            }
            counts.payments[identity, default: 0] += 1
        }
    }

    /// Calls one service after the other; the first that does not answer well decides.
    private func calling(_ calls: [(String, String, String)], for request: HTTPRequest) -> HTTPResponse {
        var answers: [JSON] = []
        for (service, method, path) in calls {
            let response: HTTPResponse
            do {
                response = try call(service, method, path, for: request)
            } catch {
                counts.withLock { $0.failed += 1 }
                return HTTPResponse(502, json: .object([("error", .string("\(service): \(error.message)"))]))
            }
            guard response.status < 400 else {
                counts.withLock { $0.failed += 1 }
                let text = String(decoding: response.body.prefix(256), as: UTF8.self)
                return HTTPResponse(
                    response.status, json: .object([("from", .string(service)), ("answer", .string(text))]))
            }
            answers.append(.raw(String(decoding: response.body, as: UTF8.self)))
        }
        return ok([("calls", .array(answers))])
    }

    private func call(
        _ service: String, _ method: String, _ path: String, for request: HTTPRequest
    ) throws(DemoError) -> HTTPResponse {
        guard let client = client.withLock({ $0 }) else { throw DemoError("nobody said where calls go") }
        var fields = request.fields.list.filter {
            let name = $0.name.lowercased()
            return Self.traceFields.contains(name) || name == "x-payment-id"
        }.map { ($0.name, $0.value) }
        fields.append(("user-agent", "\(name.rawValue)/\(version)"))
        return try client.call(method, path, host: "\(service).default", fields: fields, body: request.body)
    }

    // MARK: - What is there to look at

    private func trace(_ request: HTTPRequest) -> HTTPResponse {
        let next: [String]
        switch name {
        case .portal: next = ["orders"]
        case .orders: next = ["quotes", "payments"]
        case .quotes, .payments: next = []
        }
        var calls: [JSON] = []
        for service in next {
            do {
                let response = try call(service, "GET", "/trace", for: request)
                calls.append(.raw(String(decoding: response.body, as: UTF8.self)))
            } catch {
                return HTTPResponse(502, json: .object([("error", .string(error.message))]))
            }
        }
        return ok([("headers", seen(request)), ("calls", .array(calls))])
    }

    private func stream(_ request: HTTPRequest) -> HTTPResponse {
        let count = min(Int(request.query["chunks"] ?? "") ?? 10, 1000)
        let size = min(Int(request.query["bytes"] ?? "") ?? 1000, 4000)
        var response = HTTPResponse(status: 200)
        response.fields.append("content-type", "application/octet-stream")
        response.chunks = Array(repeating: Array(repeating: 0x78, count: max(size, 1)), count: max(count, 1))
        return response
    }

    private func seen(_ request: HTTPRequest) -> JSON {
        .object(request.fields.list.map { ($0.name, .string($0.value)) })
    }

    private func counted() -> JSON {
        counts.withLock { counts in
            let twice = counts.payments.values.count { $0 > 1 }
            return .object([
                ("service", .string(name.rawValue)), ("version", .string(version)),
                ("requests", .integer(counts.requests)), ("failed", .integer(counts.failed)),
                ("payments", .integer(counts.payments.count)), ("paymentsTwice", .integer(twice)),
            ])
        }
    }

    private func administer(_ request: HTTPRequest) -> HTTPResponse {
        behaviour.withLock { behaviour in
            if let ratio = request.query["ratio"].flatMap(Double.init), (0...1).contains(ratio) {
                behaviour.failRatio = ratio
            }
            if let on = request.query["on"] { behaviour.hangs = on == "1" }
            if let delay = request.query["ms"].flatMap(Int.init), (0...60_000).contains(delay) {
                behaviour.delayMilliseconds = delay
            }
            return ok([
                ("ratio", .number(behaviour.failRatio)), ("hangs", .bool(behaviour.hangs)),
                ("delay", .integer(behaviour.delayMilliseconds)),
            ])
        }
    }

    private func send(_ outbound: String?) -> HTTPResponse {
        guard let address = outbound.flatMap(SocketAddress.init(hostPort:)) else {
            return HTTPResponse(400, json: .object([("error", .string("to=HOST:PORT is meant"))]))
        }
        client.withLock { $0 = HTTPClient(address: address) }
        return ok([("outbound", .string("\(address)"))])
    }

    private func ok(_ members: [(String, JSON)]) -> HTTPResponse {
        HTTPResponse(
            200,
            json: .object([("service", .string(name.rawValue)), ("version", .string(version))] + members))
    }
}
