import Foundation
import MeshModel
import MeshPrimitives
import Reactor
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("A configuration changes, and a process drains, without a request failing")
struct ChangeTests {
    /// Callers that send requests, each on a connection of its own, until they are told to stop.
    private final class Callers: @unchecked Sendable {
        private let lock = NSLock()
        private var isStopped = false
        private var problems: [String] = []
        private var answered = 0
        private let group = DispatchGroup()

        init(_ count: Int, port: UInt16, body: Int = 0) {
            for index in 0..<count {
                group.enter()
                Thread.detachNewThread { [self] in
                    defer { group.leave() }
                    var stream: TCPStream?
                    while !lock.withLock({ isStopped }) {
                        do {
                            let current = try stream ?? TCPStream(port: port)
                            stream = current
                            try current.sendRequest(
                                body > 0 ? "POST" : "GET", "/\(index)",
                                body: body > 0 ? String(repeating: "x", count: body) : nil)
                            let answer = try current.readAnswer()
                            lock.withLock {
                                answered += 1
                                if answer.status != 200 { problems.append("\(answer.status) \(answer.text)") }
                            }
                            if answer["connection"] == "close" { stream = nil }
                        } catch {
                            stream = nil
                            lock.withLock { problems.append("\(error)") }
                        }
                    }
                }
            }
        }

        var count: Int { lock.withLock { answered } }

        func stop() -> [String] {
            lock.withLock { isStopped = true }
            group.wait()
            return problems
        }
    }

    @Test("Routes, endpoints, clusters and listeners change under load", arguments: [1, 2])
    func underLoad(workers: Int) throws {
        let peers = try (0..<3).map { index in try HTTPPeer(200, body: "\(index)") }
        let first = ProxyFixture.configuration(endpoints: peers.map(\.port))
        let proxy = try ProxyFixture(first, workers: workers)
        let callers = Callers(6, port: proxy.port, body: 2000)
        var number = 0
        for round in 0..<40 {
            var next = first
            let left = peers.indices.filter { $0 != round % 4 }.map { peers[$0].port }
            // Another name of the cluster each time: the old one goes while its requests are under way.
            next.clusters = [ProxyFixture.cluster("peer\(round % 3)", left)]
            next.setHosts([
                VirtualHost(
                    name: "all", domains: ["*"],
                    routes: [
                        .direct(.prefix("/none"), "x"),
                        .forward("r\(round)", .prefix("/"), to: "peer\(round % 3)"),
                    ])
            ])
            if round % 2 == 0 {
                var other = next.listeners[0]
                other.name = "other"
                next.listeners.insert(other, at: 0)
            }
            try proxy.server.apply(next)
            number += 3
            try eventually("requests") { callers.count >= number ? true : nil }
        }
        #expect(callers.stop() == [])
    }

    @Test("A changed listener keeps its socket, and its connections end after an answer")
    func changedListener() throws {
        let peer = try HTTPPeer(200, body: "x")
        let first = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
            manager.serverName = "one"
            manager.drainTimeout = .milliseconds(200)
        }
        let proxy = try ProxyFixture(first)
        let (idle, busy) = (try proxy.client(), try proxy.client())
        for client in [idle, busy] {
            try client.sendRequest()
            #expect(try client.readAnswer()["server"] == "one")
        }
        try busy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
        try proxy.expect(.downstreamRqActive, 1)
        try proxy.server.apply(
            ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in manager.serverName = "two" }
        )
        #expect(try idle.readToEnd().isEmpty)
        try busy.send("abc")
        let answer = try busy.readAnswer()
        #expect(answer["server"] == "one" && answer["connection"] == "close")
        #expect(try busy.readToEnd().isEmpty)
        let fresh = try proxy.client()
        try fresh.sendRequest()
        #expect(try fresh.readAnswer()["server"] == "two")
    }

    @Test("A listener that goes refuses, and comes back on the same port")
    func listenerAway() throws {
        let peer = try HTTPPeer(200, body: "x")
        var first = ProxyFixture.configuration(endpoints: [peer.port])
        let proxy = try ProxyFixture(first, workers: 2)
        first.listeners[0].address.port = proxy.port
        for round in 0..<10 {
            try proxy.server.apply(Configuration(listeners: [], clusters: first.clusters))
            if round % 2 == 0 {
                try eventually("refusal") { (try? proxy.client()) == nil ? true : nil }
            }
            try proxy.server.apply(first)
            try eventually("a listener again") {
                let client = try proxy.client()
                client.patience = 1
                try client.sendRequest()
                return try client.readAnswer().text == "x" ? true : nil
            }
        }
    }

    @Test("A drain lets requests end, and then nothing is left", arguments: [1, 2])
    func drain(workers: Int) throws {
        let peer = try HTTPPeer { request in
            request.message.target == "/slow"
                ? .delayed(0.1, .answer(200, body: "slow")) : .answer(200, body: "x")
        }
        let proxy = try ProxyFixture([peer], workers: workers)
        let (idle, busy, silent) = (try proxy.client(), try proxy.client(), try proxy.client())
        try idle.sendRequest()
        #expect(try idle.readAnswer().text == "x")
        try busy.sendRequest("GET", "/slow")
        try eventually("the request") { peer.requests.count == 2 ? true : nil }
        proxy.server.beginDrain()
        #expect(try idle.readToEnd().isEmpty)
        #expect(silent.isEnded(within: 5))
        let answer = try busy.readAnswer()
        #expect(answer.text == "slow" && answer["connection"] == "close")
        try eventually("the end of the drain") { proxy.server.isDrained ? true : nil }
        #expect((try? proxy.client()) == nil)
    }

    @Test("A new certificate serves new connections")
    func certificate() throws {
        let fixture = try TLSFixture()
        let peer = try HTTPPeer(200, body: "x")
        var configuration = ProxyFixture.configuration(endpoints: [peer.port])
        let first = try fixture.settings(try fixture.leaf("first"), verifies: false)
        configuration.listeners[0].filterChains[0].tls = DownstreamTLS(settings: first)
        let proxy = try ProxyFixture(configuration)
        func subject() throws -> String {
            let result = try runTool(
                "openssl", ["s_client", "-connect", "127.0.0.1:\(proxy.port)", "-CAfile", fixture.root])
            return result.output.split(separator: "\n").first { $0.hasPrefix("subject=") }.map(String.init)
                ?? ""
        }
        #expect(try subject().hasSuffix("first"))
        let second = try fixture.settings(try fixture.leaf("second"), verifies: false)
        configuration.listeners[0].filterChains[0].tls = DownstreamTLS(settings: second)
        try proxy.server.apply(configuration)
        try eventually("the new certificate") { try subject().hasSuffix("second") ? true : nil }
    }
}
