import MeshModel
import MeshPrimitives
import TestSupport
import Testing

@testable import Proxy

@Suite("Paths are made alike before anything looks at them")
struct PathNormalizationTests {
    private func apply(_ normalization: PathNormalization, _ path: String) -> String {
        switch Array(path.utf8).withByteView({ normalization.apply(to: $0) }) {
        case .unchanged: path
        case .changed(let new): String(decoding: new, as: UTF8.self)
        case .redirect(let new): "307 " + String(decoding: new, as: UTF8.self)
        case .rejected: "400"
        }
    }

    @Test(
        "Dot segments, backslashes and escapes",
        arguments: [
            ("/a/b", "/a/b"), ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/../../b", "/b"), ("/a/b/..", "/a/"),
            ("/a/%2e%2E/b", "/b"), ("/a/.%2e", "/"), ("/a/..b", "/a/..b"), ("/a/...", "/a/..."),
            ("/a\\b", "/a/b"), ("/a/..\\b", "/b"), ("/%61%7E", "/a~"), ("/%2f%3F", "/%2f%3F"),
            ("/a//b", "/a//b"), ("/a%", "/a%"), ("/a%zz", "/a%zz"), ("/a|b", "/a%7Cb"), ("/%00", "400"),
            ("/a/../b?c=/../d", "/b?c=/../d"), ("/.", "/"), ("/..", "/"),
        ])
    func canonical(path: String, expected: String) {
        #expect(apply(PathNormalization(normalizes: true), path) == expected)
    }

    @Test(
        "Slashes that follow each other become one",
        arguments: [("//a///b/", "/a/b/"), ("/a?b//c", "/a?b//c")])
    func merging(path: String, expected: String) {
        #expect(apply(PathNormalization(mergesSlashes: true), path) == expected)
    }

    @Test("Escaped slashes are refused, taken out, or asked for anew")
    func escapedSlashes() {
        func with(_ action: HTTPConnectionManager.EscapedSlashes) -> PathNormalization {
            PathNormalization(normalizes: true, escapedSlashes: action)
        }
        #expect(apply(with(.reject), "/a%2Fb") == "400")
        #expect(apply(with(.unescapeAndForward), "/a%2F..%5cb?%2f") == "/b?%2f")
        #expect(apply(with(.unescapeAndRedirect), "/a%2fb") == "307 /a/b")
        #expect(apply(with(.reject), "/a/../b") == "/b")
    }

    @Test("Routes see the normalized path, and so does the endpoint", arguments: [false, true])
    func endToEnd(isHTTP2: Bool) throws {
        let peer = try HTTPPeer(200, body: "ok")
        var configuration = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
            manager.normalizesPath = true
            manager.escapedSlashes = .unescapeAndRedirect
        }
        configuration.setHosts([
            VirtualHost(
                name: "all", domains: ["*"],
                routes: [.direct(.prefix("/secret"), "no"), .forward("", .prefix("/"))])
        ])
        let proxy = try ProxyFixture(configuration)
        let url = "http://127.0.0.1:\(proxy.port)"
        let version = isHTTP2 ? "--http2-prior-knowledge" : "--http1.1"
        #expect(try curl(version, "--path-as-is", url + "/open/../secret/x").body.hasPrefix("no"))
        #expect(try curl(version, "--path-as-is", "-d", "abc", url + "/a/./b?x=%2f").body.hasPrefix("ok"))
        #expect(peer.requests.last?.message.target == "/a/b?x=%2f")
        #expect(peer.requests.last?.message.text == "abc")
        #expect(try curl(version, "--path-as-is", url + "/a%2fb").status == 307)
        try proxy.expect(.downstreamRqRedirectedWithNormalizedPath, 1)
    }

    @Test("A host is known by its name, whatever port it came with", arguments: [false, true])
    func ports(isHTTP2: Bool) throws {
        let peer = try HTTPPeer(200, body: "ok")
        var configuration = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
            manager.stripsAnyPort = true
        }
        configuration.setHosts([
            VirtualHost(name: "a", domains: ["a.example"], routes: [.forward("", .prefix("/"))])
        ])
        let proxy = try ProxyFixture(configuration)
        let version = isHTTP2 ? "--http2-prior-knowledge" : "--http1.1"
        let url = "http://127.0.0.1:\(proxy.port)/"
        #expect(try curl(version, "-H", "host: a.example:8080", "-d", "abc", url).body.hasPrefix("ok"))
        #expect(peer.requests.last?.message["host"] == "a.example")
        #expect(peer.requests.last?.message.text == "abc")
    }

    @Test("Names with underscores go, or the request is refused", arguments: [false, true])
    func underscores(isDropped: Bool) throws {
        let peer = try HTTPPeer(200, body: "ok")
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            manager.underscoresInHeaders = isDropped ? .dropHeader : .rejectRequest
        }
        let client = try proxy.client()
        try client.sendRequest(fields: [("x_a", "1"), ("x-b", "2"), ("x__c", "3"), ("x_d", "4")])
        #expect(try client.readAnswer().status == (isDropped ? 200 : 400))
        guard isDropped else { return #expect(peer.requests.isEmpty) }
        let message = try #require(peer.requests.first?.message)
        #expect(message["x-b"] == "2")
        #expect(!message.fields.contains { $0.name.contains("_") })
    }
}
