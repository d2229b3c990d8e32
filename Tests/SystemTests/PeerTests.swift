import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// The scaffold itself: a test is worth as much as the peer that it trusts.
    @Suite("Peers and tools")
    struct PeerTests {
        @Test("A peer answers, keeps the connection, and remembers what came")
        func peerAnswers() throws {
            let peer = try HTTPPeer(201, body: "made")
            let stream = try TCPStream(port: peer.port)
            for number in 0..<3 {
                try stream.sendRequest("POST", "/things/\(number)", body: "abc")
                let answer = try stream.readAnswer()
                #expect(answer.status == 201 && answer.text == "made")
            }
            #expect(peer.requests.map(\.message.target) == ["/things/0", "/things/1", "/things/2"])
            #expect(peer.requests.allSatisfy { $0.connection == 0 && $0.message.text == "abc" })
        }

        @Test("A peer can misbehave")
        func peerMisbehaves() throws {
            let peer = try HTTPPeer { request in
                switch request.message.target {
                case "/chunks": .chunks(200, ["ab", "cde"], trailers: [("x-sum", "5")])
                case "/cut": .rawThenClose("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
                case "/reset": .reset
                case "/hang": .hang
                case "/long": .long(10_000_000)
                default: .close
                }
            }
            let chunks = try fetch(port: peer.port, "GET", "/chunks")
            #expect(chunks.text == "abcde" && chunks.trailers.first?.value == "5")
            #expect(throws: TestFailure.self) { try fetch(port: peer.port, "GET", "/cut") }
            #expect(throws: TestFailure.self) { try fetch(port: peer.port, "GET", "/reset") }
            #expect(throws: TestFailure.self) { try fetch(port: peer.port, "GET", "/hang", patience: 0.1) }
            #expect(try fetch(port: peer.port, "GET", "/long").bodyCount == 10_000_000)
        }

        @Test("The load generator's origin answers by size, and its report counts every answer")
        func loadAgainstOrigin() throws {
            let directory = try TemporaryDirectory()
            let origin = try ProcessUnderTest(
                "martlet-load",
                ["origin", "--bytes", "64", "--bytes", "100000", "--ports-file", directory.path("ports")],
                in: directory, name: "origin")
            let address = try origin.waitForFile(directory.path("ports")).dropFirst("http: ".count)
                .trimmingCharacters(in: .whitespacesAndNewlines)
            let load = try ProcessUnderTest(
                "martlet-load",
                [
                    "--target", address, "--path", "/100000", "--requests", "500", "--connections", "7",
                    "--body", "3000", "--json",
                ],
                in: directory)
            #expect(try load.exitStatus() == 0, "\(load.logTail)")
            #expect(
                load.log.contains("\"answers\":500") && load.log.contains("\"2xx\":500"), "\(load.logTail)")
        }

        @Test("A demo service fails evenly, tells its counts and calls on")
        func demoServices() throws {
            let directory = try TemporaryDirectory()
            func start(_ service: String, _ more: [String] = []) throws -> (ProcessUnderTest, UInt16) {
                let process = try ProcessUnderTest(
                    "martlet-demo-service",
                    ["--service", service, "--ports-file", directory.path(service)] + more,
                    in: directory, name: service)
                let text = try process.waitForFile(directory.path(service)).split(separator: ":").last ?? ""
                return (process, UInt16(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0)
            }
            let (quotes, quotesPort) = try start("quotes", ["--fail-ratio", "0.5"])
            // Without a sidecar there is nobody to tell services apart: what portal sends to orders goes to quotes.
            let (portal, portalPort) = try start("portal", ["--outbound", "127.0.0.1:\(quotesPort)"])
            let answers = try (0..<6).map { _ in try fetch(port: quotesPort, "GET", "/quotes/ACME").status }
            #expect(answers == [200, 500, 200, 500, 200, 500], "\(quotes.logTail)")
            #expect(
                try fetch(port: quotesPort, "GET", "/counts").text.contains("\"requests\":6,\"failed\":3"))
            let trace = try fetch(port: portalPort, "GET", "/trace", fields: [("traceparent", "00-12-34-01")])
            #expect(
                trace.text.components(separatedBy: "00-12-34-01").count == 3,
                "\(trace.text)\n\(portal.logTail)")
        }
    }
}
