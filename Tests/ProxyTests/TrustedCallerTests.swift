import MeshModel
import MeshPrimitives
import TestSupport
import Testing

@testable import Proxy

@Suite("Who sent a request, where proxies stand before this one")
struct TrustedCallerTests {
    private static let inside = [
        AddressRange(address: SocketAddress(ipv4: 10, 0, 0, 0, port: 0), prefixLength: 8)
    ]

    /// What the endpoint is sent, and the address that the record has of the caller.
    private func forwarded(
        _ fields: [(String, String)], change: @escaping (inout HTTPConnectionManager) -> Void
    ) throws -> (seen: HTTPMessage, caller: String?) {
        let peer = try HTTPPeer { _ in .answer(200, body: "ok") }
        let proxy = try ProxyFixture([peer]) { manager, _, _ in change(&manager) }
        let client = try proxy.client()
        try client.sendRequest("GET", "/", fields: fields)
        #expect(try client.readAnswer().status == 200)
        let record = try eventually("a record") { proxy.lastRecord }
        return (try #require(peer.requests.first?.message), record.downstreamRemote?.host)
    }

    @Test("An edge writes down its peer, by this host's own address if it is on this host")
    func edge() throws {
        let own = ProcessState.addressOfThisHost?.host ?? "127.0.0.1"
        let given = [("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2, 10.0.0.3")]
        let (seen, caller) = try forwarded(given) { $0.usesRemoteAddress = true }
        #expect(seen.values(of: "x-forwarded-for") == ["10.0.0.1,10.0.0.2, 10.0.0.3,\(own)"])
        #expect(seen["x-envoy-external-address"] == "127.0.0.1")
        #expect(caller == "127.0.0.1")
        let silent = try forwarded(given) { manager in
            manager.usesRemoteAddress = true
            manager.skipsXFFAppend = true
        }
        #expect(silent.seen.values(of: "x-forwarded-for") == ["10.0.0.1,10.0.0.2, 10.0.0.3"])
    }

    @Test("Trusted proxies are counted from the end", arguments: [1, 2, 3])
    func hops(count: Int) throws {
        let given = [("x-forwarded-for", "172.16.0.1, 172.16.0.2"), ("x-forwarded-proto", "https")]
        let atEdge = try forwarded(given) { manager in
            manager.usesRemoteAddress = true
            manager.trustedHops = count
        }
        let wanted = ["172.16.0.2", "172.16.0.1", "127.0.0.1"][count - 1]
        #expect(atEdge.caller == wanted)
        #expect(atEdge.seen["x-envoy-external-address"] == wanted)
        #expect(atEdge.seen["x-forwarded-proto"] == "https")
        let behind = try forwarded(given) { $0.trustedHops = count }
        #expect(behind.caller == ["172.16.0.1", "127.0.0.1", "127.0.0.1"][count - 1])
        #expect(behind.seen["x-forwarded-for"] == "172.16.0.1, 172.16.0.2")
        #expect(behind.seen["x-envoy-external-address"] == nil)
    }

    @Test("A caller is internal by a single address of the ranges that are said to be so")
    func insiders() throws {
        func isInternal(_ list: String) throws -> Bool {
            let fields = [("x-forwarded-for", list), ("x-envoy-internal", "true")]
            return try forwarded(fields) { $0.internalRanges = Self.inside }.seen["x-envoy-internal"] != nil
        }
        #expect(try isInternal("10.1.2.3"))
        #expect(try !isInternal("11.1.2.3"))
        #expect(try !isInternal("10.1.2.3, 10.1.2.4"))
        #expect(try !isInternal("10.1.2.3:80"))
        #expect(try !isInternal("::1"))
        let bare = try forwarded([("x-envoy-internal", "true")]) { $0.internalRanges = Self.inside }
        #expect(bare.seen["x-envoy-internal"] == nil)
    }

    @Test("Fields that steer a proxy pass from the inside only, and never those that the router acts on")
    func controls() throws {
        let router = ["x-envoy-hedge-on-per-try-timeout", "x-envoy-retriable-header-names"]
        let inner = ["x-envoy-ip-tags", "x-envoy-force-trace", "x-envoy-original-url"]
        let edge = [
            "x-envoy-original-host", "x-envoy-downstream-service-cluster", "x-envoy-original-path",
            "x-envoy-decorator-operation",
        ]
        let others = ["x-envoy-peer-metadata", "accept-encoding", "a-ip-tags-ip-tag"]
        func names(_ address: String, isEdge: Bool) throws -> Set<String> {
            let fields = (router + inner + edge + others).map { ($0, "x") } + [("x-forwarded-for", address)]
            let (seen, _) = try forwarded(fields) { manager in
                manager.internalRanges = Self.inside
                manager.usesRemoteAddress = isEdge
            }
            return Set(seen.fields.map(\.name)).intersection(router + inner + edge + others)
        }
        #expect(try names("10.0.0.1", isEdge: false) == Set(inner + edge + others))
        #expect(try names("11.0.0.1", isEdge: false) == Set(edge + others))
        #expect(try names("10.0.0.1", isEdge: true) == Set(others))
    }

    @Test("A caller cannot take away by its Connection field what an edge says")
    func connectionOptions() throws {
        let fields = [
            ("connection", "x-envoy-external-address, x-own"), ("x-own", "1"),
            ("x-forwarded-for", "10.0.0.1"),
        ]
        let (seen, _) = try forwarded(fields) { $0.usesRemoteAddress = true }
        #expect(seen["x-forwarded-for"]?.hasPrefix("10.0.0.1,") == true)
        #expect(seen["x-envoy-external-address"] == "127.0.0.1")
        #expect(seen["x-own"] == nil)
    }

    @Test("The port goes along where that is asked for, and a proxy in front is believed")
    func ports() throws {
        let (seen, _) = try forwarded([]) { $0.appendsForwardedPort = true }
        #expect(seen["x-forwarded-port"].flatMap { UInt16($0) } ?? 0 > 0)
        let told = try forwarded([("x-forwarded-port", "443")]) { $0.appendsForwardedPort = true }
        #expect(told.seen["x-forwarded-port"] == "443")
    }

    @Test("In a mesh nobody is believed")
    func mesh() throws {
        let (seen, caller) = try forwarded([("x-forwarded-for", "10.0.0.1")]) { manager in
            manager.believesForwardedFor = false
            manager.internalRanges = Self.inside
        }
        #expect(caller == "127.0.0.1" && seen["x-envoy-internal"] == nil)
        #expect(seen["x-forwarded-for"] == "10.0.0.1")
    }

    @Test("A head that this would make too large is refused")
    func tooLarge() throws {
        let peer = try HTTPPeer(200, body: "ok")
        let proxy = try ProxyFixture([peer]) { manager, _, _ in manager.usesRemoteAddress = true }
        let client = try proxy.client()
        let start = "GET / HTTP/1.1\r\nhost: a\r\nx: "
        try client.send(
            start + String(repeating: "y", count: (60 << 10) - start.utf8.count - 10) + "\r\n\r\n")
        #expect(try client.readAnswer().status == 431)
        #expect(peer.requests.isEmpty)
    }

    @Test(
        "Addresses are read as inet_pton does",
        arguments: [
            ("1.2.3.4", "1.2.3.4"), (" 255.0.10.1\t", "255.0.10.1"), ("a, 0.0.0.0", "0.0.0.0"),
            ("::1", "::1"),
            ("1.2.3", nil), ("1.2.3.4.5", nil), ("1.2.3.256", nil), ("01.2.3.4", nil), ("1..2.3", nil),
            ("1.2.3.4 ", "1.2.3.4"), ("", nil), ("1.2.3.4:80", nil), ("[::1]", nil), ("x", nil),
            ("1.2.3.4,", nil),
        ] as [(String, String?)])
    func addresses(text: String, wanted: String?) {
        let found = Array(text.utf8).withByteView { ForwardedFor($0).address(before: 0)?.host }
        #expect(found == wanted)
    }
}
