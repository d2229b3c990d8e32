import HTTPModel
import MeshModel
import MeshPrimitives
import Proxy
import Reactor
import Telemetry
import XDSClient
import XDSDiscovery
import XDSSchema

/// The proxy's pages: which there are, and what they say. Everything is read when it is asked for.
public final class AdminPages {
    /// What does not change while the process runs.
    public struct Facts: Sendable {
        public var version = ""
        /// As the command line has them, by long name without dashes.
        public var options: @Sendable () -> [(name: String, value: String)] = { [] }
        public var workers = 1
        public var started = MonotonicInstant.zero
        public var startedAt = WallInstant(nanoseconds: 0)

        public init() {}
    }

    /// Where the rest of the process is asked and told.
    public struct Surroundings {
        /// The initial configuration is complete and in force.
        public var isReady: () -> Bool = { true }
        /// A drain that ends the process has begun.
        public var isStopping: () -> Bool = { false }
        /// Read again each time, which takes as long as it is large.
        public var bootstrap: () -> ConfigMessage? = { nil }
        /// envoy.config.core.v3.Node
        public var node: () -> ConfigMessage? = { nil }
        /// What came over the stream.
        public var resources: () -> [HeldResource] = { [] }
        /// nil: there is no stream.
        public var discovery: () -> DiscoveryStatistics? = { nil }
        public var drainListeners: () -> Void = {}
        public var quit: () -> Void = {}

        public init() {}
    }

    let server: ProxyServer
    let loop: ControlLoop
    let facts: Facts
    let surroundings: Surroundings

    public init(server: ProxyServer, loop: ControlLoop, facts: Facts, surroundings: Surroundings) {
        (self.server, self.loop, self.facts, self.surroundings) = (server, loop, facts, surroundings)
    }

    /// Envoy's words and numbers for it.
    enum State: UInt64 {
        case live, draining, preInitializing

        var name: String {
            switch self {
            case .live: "LIVE"
            case .draining: "DRAINING"
            case .preInitializing: "PRE_INITIALIZING"
            }
        }
    }

    var state: State {
        if surroundings.isStopping() || server.process.isHealthFailed.load(ordering: .relaxed) {
            return .draining
        }
        return surroundings.isReady() ? .live : .preInitializing
    }

    // MARK: Routing

    private struct Page: Sendable {
        let path: String
        let help: String
        var method = Method.get
        /// Also read with GET.
        var isReadable = false
        let answer: @Sendable (AdminPages, AdminRequest) -> AdminAnswer
    }

    private static let pages: [Page] = [
        Page(path: "/certs", help: "certificates in use, with their names and dates") { pages, _ in
            pages.certificates()
        },
        Page(path: "/clusters", help: "clusters and their endpoints; ?format=json") { $0.clusters($1) },
        Page(path: "/config_dump", help: "the configuration in force; ?include_eds") { $0.configDump($1) },
        Page(path: "/drain_listeners", help: "stop accepting connections; ?graceful", method: .post) {
            pages, _ in
            pages.surroundings.drainListeners()
            return .text("OK\n")
        },
        Page(path: "/explain", help: "the story of one request; ?id=X-REQUEST-ID") { $0.explain($1) },
        Page(path: "/healthcheck/fail", help: "not ready from now on", method: .post) { pages, _ in
            pages.setHealthFailed(true)
        },
        Page(path: "/healthcheck/ok", help: "ready again", method: .post) { pages, _ in
            pages.setHealthFailed(false)
        },
        Page(path: "/help", help: "this list") { pages, _ in pages.help() },
        Page(path: "/listeners", help: "names and addresses of listeners; ?format=json") { $0.listeners($1) },
        Page(
            path: "/logging", help: "the log's level; POST ?level=LEVEL changes it", method: .post,
            isReadable: true
        ) { $0.logging($1) },
        Page(path: "/memory", help: "bytes in use") { pages, _ in pages.memory() },
        Page(path: "/quitquitquit", help: "end the process", method: .post) { pages, _ in
            var answer = AdminAnswer.text("OK\n")
            answer.afterwards = pages.surroundings.quit
            return answer
        },
        Page(path: "/ready", help: "LIVE, or 503 and why not") { pages, _ in pages.ready() },
        Page(path: "/recorder", help: "the last requests; ?format=json&max=N") { $0.recorder($1) },
        Page(path: "/server_info", help: "version, state, options") { pages, _ in pages.serverInfo() },
        Page(
            path: "/stats",
            help: "statistics; ?filter=EXPRESSION&usedonly&format=text|json|prometheus"
        ) { $0.statistics($1) },
        Page(path: "/stats/prometheus", help: "statistics for Prometheus; ?filter=EXPRESSION&usedonly") {
            $0.prometheus($1)
        },
    ]

    /// The answer of the admin port.
    public func answer(_ request: AdminRequest) -> AdminAnswer {
        if request.path == "/", request.method == .get { return home() }
        guard let page = Self.pages.first(where: { $0.path == request.path }) else {
            return .text("no such page; /help lists them\n", status: 404)
        }
        guard request.method == page.method || page.isReadable && request.method == .get else {
            var answer = AdminAnswer.text(
                "\(page.path) takes \(page.method == .post ? "POST" : "GET")\n", status: 405)
            answer.allowed = page.isReadable ? "GET, POST" : page.method == .post ? "POST" : "GET"
            return answer
        }
        return page.answer(self, request)
    }

    /// The answer of the health port.
    public func answerHealth(_ request: AdminRequest) -> AdminAnswer {
        switch request.path {
        case "/ready", "/healthz/ready": return request.method == .get ? ready() : Self.onlyGet
        default: return .text("there are /ready and /healthz/ready\n", status: 404)
        }
    }

    /// The answer of the port that Prometheus reads.
    public func answerMetrics(_ request: AdminRequest) -> AdminAnswer {
        switch request.path {
        case "/stats/prometheus", "/metrics":
            return request.method == .get ? prometheus(request) : Self.onlyGet
        default: return .text("there are /stats/prometheus and /metrics\n", status: 404)
        }
    }

    private static var onlyGet: AdminAnswer {
        var answer = AdminAnswer.text("GET only\n", status: 405)
        answer.allowed = "GET"
        return answer
    }

    // MARK: Small pages

    private func ready() -> AdminAnswer { .text(state.name + "\n", status: state == .live ? 200 : 503) }

    private func setHealthFailed(_ isFailed: Bool) -> AdminAnswer {
        server.process.isHealthFailed.store(isFailed, ordering: .releasing)
        return .text("OK\n")
    }

    private func help() -> AdminAnswer {
        let lines = Self.pages.map { page in
            "  \(page.path)\(page.method == .post && !page.isReadable ? " (POST)" : ""): \(page.help)\n"
        }
        return .text("admin commands are:\n" + lines.joined())
    }

    private func home() -> AdminAnswer {
        var html = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>martlet-proxy</title>"
        html += "<h1>martlet-proxy</h1><table>"
        for page in Self.pages {
            let name =
                page.method == .get || page.isReadable
                ? "<a href=\"\(page.path.dropFirst())\">\(page.path)</a>" : "\(page.path) (POST)"
            html += "<tr><td>\(name)<td>\(page.help.replacingAmpersands)"
        }
        return AdminAnswer(type: "text/html; charset=UTF-8", .bytes(Array((html + "</table></html>\n").utf8)))
    }

    private func logging(_ request: AdminRequest) -> AdminAnswer {
        let log = server.process.log
        if request.method == .post {
            guard let text = request.value("level") else {
                return request.query.isEmpty
                    ? .text("active loggers:\n  martlet: \(log.level.name)\n")
                    : .text("the parameter is level: there is one logger\n", status: 400)
            }
            guard let level = LogLevel(name: text) else {
                let names = LogLevel.allCases.map(\.name).joined(separator: ", ")
                return .text("level: one of \(names)\n", status: 400)
            }
            log.level = level
        }
        return .text("active loggers:\n  martlet: \(log.level.name)\n")
    }

    /// Whether a page of two forms is wanted as JSON; nil for a form that it does not have.
    func isJSON(_ request: AdminRequest) -> Bool? {
        switch request.value("format") {
        case nil, "text": false
        case "json": true
        default: nil
        }
    }

    static var unknownFormat: AdminAnswer { .text("format: text or json\n", status: 400) }
}

extension String {
    fileprivate var replacingAmpersands: String {
        split(separator: "&", omittingEmptySubsequences: false).joined(separator: "&amp;")
    }
}
