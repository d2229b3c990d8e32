import Testing
import XDSMessages

@testable import ConfigCompiler
@testable import DiscoveryServer

@Suite struct DiscoverySessionTests {
    private typealias Request = Envoy_Service_Discovery_V3_DiscoveryRequest

    private func resource(_ name: String, _ content: String = "1") -> CompiledResource {
        CompiledResource(name: name, Google_Protobuf_StringValue("\(name)=\(content)"))
    }

    private func snapshot(
        _ clusters: [String], endpoints: [String] = [], routes: [String] = [], listeners: [String] = []
    ) -> ProxySnapshot {
        func resources(_ texts: [String]) -> [CompiledResource] {
            texts.map { text in
                let parts = text.split(separator: "=")
                return resource(String(parts[0]), parts.count > 1 ? String(parts[1]) : "1")
            }
        }
        return ProxySnapshot([
            .clusters: resources(clusters), .endpoints: resources(endpoints), .routes: resources(routes),
            .listeners: resources(listeners),
        ])
    }

    private func request(
        _ type: ResourceType, _ names: [String] = [], nonce: String = "", version: String = "",
        error: String? = nil
    ) -> Request {
        .with {
            $0.typeURL = type.typeURL
            $0.resourceNames = names
            $0.responseNonce = nonce
            $0.versionInfo = version
            if let error { $0.errorDetail.message = error }
        }
    }

    private func names(_ responses: [DiscoverySession.Response]) -> [String] {
        responses.map { "\($0.type.rawValue):\($0.resources.map(\.name).joined(separator: ","))" }
    }

    /// Acknowledges a response; answers what follows.
    private func acknowledge(
        _ session: inout DiscoverySession, _ response: DiscoverySession.Response, _ names: [String] = []
    ) -> [DiscoverySession.Response] {
        session.requestReceived(
            request(response.type, names, nonce: response.nonce, version: response.version)
        ).responses
    }

    @Test("What was asked for is sent once, and an acknowledgement asks for nothing")
    func once() throws {
        var session = DiscoverySession(snapshot(["a"]))
        let first = session.requestReceived(request(.clusters))
        #expect(names(first.responses) == ["clusters:a"])
        #expect(first.verdict == nil)
        #expect(!session.isInStep)
        let response = try #require(first.responses.first)
        let answer = session.requestReceived(
            request(.clusters, nonce: response.nonce, version: response.version))
        #expect(answer.verdict == .acknowledged(.clusters, version: response.version))
        #expect(answer.responses.isEmpty)
        #expect(session.isInStep)
        #expect(session.snapshotChanged(to: snapshot(["a"])).isEmpty)
    }

    @Test("While a response is open the next change waits, and only the last one is sent")
    func backPressure() throws {
        var session = DiscoverySession(snapshot(["a=1"]))
        let first = try #require(session.requestReceived(request(.clusters)).responses.first)
        #expect(session.snapshotChanged(to: snapshot(["a=2"])).isEmpty)
        #expect(session.snapshotChanged(to: snapshot(["a=3"])).isEmpty)
        let next = acknowledge(&session, first)
        #expect(next.map(\.resources) == [[resource("a", "3")]])
    }

    @Test("A refused response is not sent again; the next change is")
    func refusal() throws {
        var session = DiscoverySession(snapshot(["a=1"]))
        let first = try #require(session.requestReceived(request(.clusters)).responses.first)
        let answer = session.requestReceived(request(.clusters, nonce: first.nonce, error: "no"))
        #expect(answer.verdict == .refused(.clusters, version: first.version, message: "no"))
        #expect(answer.responses.isEmpty)
        #expect(session.isDelivered && !session.isInStep)
        #expect(session.snapshotChanged(to: snapshot(["a=1"])).isEmpty)
        #expect(names(session.snapshotChanged(to: snapshot(["a=2"]))) == ["clusters:a"])
    }

    @Test("An answer to an older response changes nothing")
    func stale() throws {
        var session = DiscoverySession(snapshot(["a=1"]))
        let first = try #require(session.requestReceived(request(.clusters)).responses.first)
        _ = session.snapshotChanged(to: snapshot(["a=2"]))
        let second = try #require(acknowledge(&session, first).first)
        let stale = session.requestReceived(request(.clusters, nonce: first.nonce, error: "late"))
        #expect(stale == DiscoverySession.Outcome())
        #expect(acknowledge(&session, second).isEmpty)
        #expect(session.isInStep)
    }

    @Test("By name only what was asked for and changed is sent")
    func byName() throws {
        var session = DiscoverySession(snapshot([], endpoints: ["a", "b", "c"]))
        let first = try #require(session.requestReceived(request(.endpoints, ["b", "a"])).responses.first)
        #expect(names([first]) == ["endpoints:a,b"])
        #expect(acknowledge(&session, first, ["a", "b"]).isEmpty)
        let second = session.snapshotChanged(to: snapshot([], endpoints: ["a", "b=2", "c=2"]))
        #expect(names(second) == ["endpoints:b"])
        let third = acknowledge(&session, second[0], ["a", "b", "c"])
        #expect(names(third) == ["endpoints:c"])
    }

    @Test("A name that is not there is not answered, until it is")
    func absent() throws {
        var session = DiscoverySession(snapshot([]))
        #expect(session.requestReceived(request(.routes, ["outbound"])).responses.isEmpty)
        #expect(names(session.snapshotChanged(to: snapshot([], routes: ["outbound"]))) == ["routes:outbound"])
    }

    @Test("The endpoints of a changed cluster are sent again, those of an unchanged one are not")
    func warming() throws {
        var session = DiscoverySession(snapshot(["a=1", "b"], endpoints: ["a", "b"]))
        let clusters = try #require(session.requestReceived(request(.clusters)).responses.first)
        let endpoints = try #require(
            session.requestReceived(request(.endpoints, ["a", "b"])).responses.first)
        _ = acknowledge(&session, endpoints, ["a", "b"])
        _ = acknowledge(&session, clusters)
        let changed = session.snapshotChanged(to: snapshot(["a=2", "b"], endpoints: ["a", "b"]))
        #expect(names(changed) == ["clusters:a,b", "endpoints:a"])
    }

    @Test("Endpoints do not wait for the answer to clusters, which a warming proxy holds back")
    func warmingAnswer() throws {
        var session = DiscoverySession(snapshot(["a"], endpoints: ["a"]))
        _ = session.requestReceived(request(.clusters))
        #expect(names(session.requestReceived(request(.endpoints, ["a"])).responses) == ["endpoints:a"])
    }

    @Test("Routes wait until the clusters to which they lead can be sent")
    func order() throws {
        var session = DiscoverySession(snapshot(["a"], routes: ["r=1"]))
        let clusters = try #require(session.requestReceived(request(.clusters)).responses.first)
        let routes = try #require(session.requestReceived(request(.routes, ["r"])).responses.first)
        _ = acknowledge(&session, routes, ["r"])
        // The first clusters are not answered yet: neither the new cluster nor the route to it may go.
        #expect(session.snapshotChanged(to: snapshot(["a", "b"], routes: ["r=2"])).isEmpty)
        #expect(names(acknowledge(&session, clusters)) == ["clusters:a,b", "routes:r"])
    }

    @Test("A cluster goes only after the routes that led to it")
    func retained() throws {
        var session = DiscoverySession(snapshot(["a", "b"], routes: ["r=1"]))
        let clusters = try #require(session.requestReceived(request(.clusters)).responses.first)
        let routes = try #require(session.requestReceived(request(.routes, ["r"])).responses.first)
        _ = acknowledge(&session, clusters)
        _ = acknowledge(&session, routes, ["r"])
        let change = session.snapshotChanged(to: snapshot(["a"], routes: ["r=2"]))
        #expect(names(change) == ["routes:r"])
        let removal = acknowledge(&session, change[0], ["r"])
        #expect(names(removal) == ["clusters:a"])
        #expect(acknowledge(&session, removal[0]).isEmpty)
        #expect(session.isInStep)
    }

    @Test("While routes are refused their predecessors are in force, and so are the clusters of these")
    func retainedForRefused() throws {
        var session = DiscoverySession(snapshot(["a", "b"], routes: ["r=1"]))
        let clusters = try #require(session.requestReceived(request(.clusters)).responses.first)
        let routes = try #require(session.requestReceived(request(.routes, ["r"])).responses.first)
        _ = acknowledge(&session, clusters)
        _ = acknowledge(&session, routes, ["r"])
        let change = session.snapshotChanged(to: snapshot(["a"], routes: ["r=2"]))
        let refusal = request(
            .routes, ["r"], nonce: change[0].nonce, version: routes.version, error: "bad")
        #expect(session.requestReceived(refusal).responses.isEmpty)
        let mended = session.snapshotChanged(to: snapshot(["a"], routes: ["r=3"]))
        #expect(names(mended) == ["routes:r"])
        #expect(names(acknowledge(&session, mended[0], ["r"])) == ["clusters:a"])
    }

    @Test("A proxy that comes back with what is in force is not sent it again")
    func resumption() {
        let snapshot = snapshot(["a"], listeners: ["l"])
        var session = DiscoverySession(snapshot)
        let version = snapshot[.clusters].version
        let outcome = session.requestReceived(request(.clusters, version: version))
        #expect(outcome == .init(verdict: .resumed(.clusters, version: version), responses: []))
        #expect(session.isInStep)
        #expect(
            names(session.requestReceived(request(.listeners, version: "other")).responses) == ["listeners:l"]
        )
    }

    @Test("A proxy may refuse what it has acknowledged, until there is something newer")
    func lateRefusal() {
        var session = DiscoverySession(snapshot(["a"], listeners: ["l"]))
        let response = session.requestReceived(request(.listeners)).responses[0]
        _ = acknowledge(&session, response)
        var late = request(.listeners)
        late.responseNonce = response.nonce
        late.errorDetail.message = "address in use"
        let expected = DiscoverySession.Verdict.refused(
            .listeners, version: response.version, message: "address in use")
        #expect(session.requestReceived(late) == .init(verdict: expected, responses: []))
        #expect(!session.isInStep && session.isDelivered)
        late.responseNonce = "0"
        #expect(session.requestReceived(late).verdict == nil)
    }

    @Test("A type that is not known here is left alone")
    func unknownType() {
        var session = DiscoverySession(snapshot(["a"]))
        var request = Request()
        request.typeURL = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
        #expect(session.requestReceived(request) == DiscoverySession.Outcome())
    }

    @Test(
        "However requests and changes mix, the proxy ends with the last snapshot", arguments: UInt64(0)..<200)
    func converges(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        var session = DiscoverySession(
            snapshot(["a=0"], endpoints: ["a=0"], routes: ["r=0"], listeners: ["l=0"]))
        var open: [DiscoverySession.Response] = []
        var held: [String: String] = [:]
        func take(_ responses: [DiscoverySession.Response]) {
            for response in responses {
                // Never a second response of a type while one is open.
                #expect(!open.contains { $0.type == response.type })
                open.append(response)
                if response.type.isWildcard {
                    held = held.filter { !$0.key.hasPrefix(response.type.rawValue) }
                }
                for resource in response.resources {
                    held["\(response.type.rawValue)/\(resource.name)"] = resource.version
                }
            }
        }
        for type in ResourceType.allCases where type != .secrets {
            take(session.requestReceived(request(type, type.isWildcard ? [] : ["a", "b", "r"])).responses)
        }
        var last = snapshot(["a=0"])
        for step in 0..<40 {
            if random.next() % 2 == 0 {
                let names = random.next() % 2 == 0 ? ["a", "b"] : ["a"]
                last = snapshot(
                    names.map { "\($0)=\(random.next() % 3)" }, endpoints: names.map { "\($0)=\(step)" },
                    routes: ["r=\(random.next() % 3)"], listeners: ["l=\(random.next() % 3)"])
                take(session.snapshotChanged(to: last))
            } else if !open.isEmpty {
                let response = open.remove(at: Int(random.next() % UInt64(open.count)))
                take(acknowledge(&session, response, response.type.isWildcard ? [] : ["a", "b", "r"]))
            }
        }
        while !open.isEmpty {
            let response = open.removeFirst()
            take(acknowledge(&session, response, response.type.isWildcard ? [] : ["a", "b", "r"]))
        }
        #expect(session.isInStep)
        for type in [ResourceType.clusters, .endpoints, .routes, .listeners] {
            for resource in last[type].list {
                #expect(held["\(type.rawValue)/\(resource.name)"] == resource.version)
            }
            if type.isWildcard {
                #expect(held.keys.count { $0.hasPrefix(type.rawValue) } == last[type].list.count)
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
