import HTTP1Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import Testing

@testable import Proxy

@Suite("Routes are found by host and path")
struct RouteTableTests {
    /// The routes of one virtual host, compiled; the snapshot keeps them alive.
    private struct Compiled {
        let snapshot: Snapshot
        let table: RouteTable

        init(_ hosts: [VirtualHost]) throws {
            var manager = HTTPConnectionManager(
                statPrefix: "test", routes: .routes(RouteConfiguration(name: "r", virtualHosts: hosts)))
            manager.filters = []
            let address = SocketAddress(ipv4: 127, 0, 0, 1, port: 1)
            let listener = Listener(
                name: "l", address: address, filterChains: [FilterChain(network: .http(manager))])
            let process = ProcessState(
                workers: 1, registry: .init(), log: ProcessLog(level: .off), connectionsMax: 16,
                exchangesMax: 16)
            snapshot = try SnapshotCompiler.compile(
                Configuration(listeners: [listener]), addresses: [address], generation: 1,
                process: process, now: .zero, previous: nil)
            table = snapshot.listeners[0].chains[0].http.routes
        }

        /// Name of the route for such a request.
        func route(_ path: String, chance: UInt64 = 0, fields: String = "", host: Int = 0) throws -> String? {
            let text = "GET \(path) HTTP/1.1\r\nhost: h\r\n\(fields)\r\n"
            return try text.withByteView { bytes throws -> String? in
                var head = MessageHead()
                var progress = HeadProgress()
                guard
                    case .complete = HTTP1Parser.parseRequest(
                        bytes, into: &head, progress: &progress, limits: HTTP1Limits())
                else {
                    Issue.record("no request: \(path)")
                    return nil
                }
                var pool = BufferPool()
                var scratch = pool.take(4096)
                defer { pool.give(&scratch) }
                let question = RouteQuestion(bytes: bytes, isHTTPS: false, chance: chance)
                return table.route(in: host, head: head, question, scratch: &scratch).map {
                    table.routes[$0].name.text
                }
            }
        }
    }

    private func host(_ routes: [Route]) -> VirtualHost {
        VirtualHost(name: "all", domains: ["*"], routes: routes)
    }

    private func route(_ name: String, _ path: RouteMatch.Path, foldsCase: Bool = false) -> Route {
        var match = RouteMatch(path: path)
        match.isCaseSensitive = !foldsCase
        return Route(name: name, match: match, action: .direct(status: 200, body: []))
    }

    @Test(
        "It is the first in order of those that match, as walking the list would find it",
        arguments: UInt64(0)..<60)
    func order(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let parts = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/A", "/A/b", "/b", "/b/c", "/abc"]
        let patterns = ["/a/.*", "/a/b", "/[ab]/.*", ".*c", "/a|/b", "/A.*"]
        var routes: [Route] = []
        for index in 0..<Int(4 + random.below(20)) {
            let text = parts[Int(random.below(UInt64(parts.count)))]
            let folds = random.below(4) == 0
            switch random.below(4) {
            case 0: routes.append(route("\(index)", .exact(text), foldsCase: folds))
            case 1 where text.count > 1 && !text.hasSuffix("/"):
                routes.append(route("\(index)", .separatedPrefix(text), foldsCase: folds))
            case 2: routes.append(route("\(index)", .regex(patterns[Int(random.below(6))])))
            default: routes.append(route("\(index)", .prefix(text), foldsCase: folds))
            }
            if random.below(3) == 0 {
                routes[index].match.headers = [
                    HeaderMatch(name: "x-h", test: .string(StringMatch(.exact("\(random.below(2))"))))
                ]
            }
        }
        let compiled = try Compiled([host(routes)])
        for path in [
            "/", "/a", "/a/b", "/a/b/c", "/ab", "/abc", "/A/b", "/a/B", "/b/x", "/bc", "/a/b?x=/c", "/c",
        ] {
            for value in ["0", "1", "2"] {
                let wanted = routes.first { Self.matches($0.match, path, value) }?.name
                #expect(
                    try compiled.route(path, fields: "x-h: \(value)\r\n") == wanted,
                    "seed \(seed): \(path) with \(value)")
            }
        }
    }

    /// By the words of the API, slowly.
    private static func matches(_ match: RouteMatch, _ target: String, _ value: String) -> Bool {
        var path = String(target.prefix { $0 != "?" })
        func folded(_ text: String) -> String { match.isCaseSensitive ? text : text.lowercased() }
        if !match.headers.isEmpty {
            guard case .string(let string) = match.headers[0].test, case .exact(value) = string.pattern else {
                return false
            }
        }
        path = folded(path)
        switch match.path {
        case .prefix(let text): return path.hasPrefix(folded(text))
        case .exact(let text): return path == folded(text)
        case .separatedPrefix(let text): return path == folded(text) || path.hasPrefix(folded(text) + "/")
        case .regex("/a/.*"): return path.hasPrefix("/a/")
        case .regex("/a/b"): return path == "/a/b"
        case .regex("/[ab]/.*"): return path.hasPrefix("/a/") || path.hasPrefix("/b/")
        case .regex(".*c"): return path.hasSuffix("c")
        case .regex("/a|/b"): return path == "/a" || path == "/b"
        case .regex("/A.*"): return path.hasPrefix("/A")
        case .regex, .connect: return false
        }
    }

    @Test("One random number decides every share of a request")
    func shares() throws {
        var routes = [
            route("half", .prefix("/")), route("half again", .prefix("/")), route("rest", .prefix("/")),
        ]
        for index in 0..<2 { routes[index].match.fraction = Fraction(numerator: 50, denominator: 100) }
        let compiled = try Compiled([host(routes)])
        for chance in UInt64(0)..<200 {
            #expect(try compiled.route("/", chance: chance) == (chance % 100 < 50 ? "half" : "rest"))
        }
    }

    @Test("Steps down the tree grow with the path, not with the number of routes")
    func steps() throws {
        func steps(_ count: Int) throws -> Int {
            let routes = (0..<count).map { index in
                route(
                    "\(index)",
                    .prefix("/service-\(String(repeating: "0", count: 5 - "\(index)".count))\(index)/"))
            }
            let compiled = try Compiled([host(routes)])
            let wanted = count * 7 / 10
            let name = "/service-\(String(repeating: "0", count: 5 - "\(wanted)".count))\(wanted)/items/1"
            #expect(try compiled.route(name) == "\(wanted)")
            return name.withByteView { key in
                let tree = compiled.table.hosts[0].tree
                var (node, position, steps) = (0, tree.nodes[0].label.count, 1)
                while position < key.count,
                    let child = tree.nodes[node].childBytes.firstIndex(of: key[position])
                {
                    node = Int(tree.nodes[node].firstChild) + child
                    position += tree.nodes[node].label.count
                    steps += 1
                }
                return steps
            }
        }
        let (few, many) = (try steps(10), try steps(10_000))
        #expect(few <= 4 && many <= 7)
    }

    @Test("Ten thousand patterns stand where their fixed beginning ends")
    func patterns() throws {
        let routes = (0..<2_000).map { route("\($0)", .regex("/tenant-\($0)/[a-z]+")) }
        let compiled = try Compiled([host(routes)])
        #expect(try compiled.route("/tenant-1234/abc") == "1234")
        #expect(try compiled.route("/tenant-1234/12") == nil)
        let tree = compiled.table.hosts[0].tree
        let longest = tree.nodes.indices.map { tree.nodes[$0].prefix.count }.max()
        #expect(longest == 1)
    }
}
