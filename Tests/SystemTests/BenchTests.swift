import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("martlet bench")
    struct BenchTests {
        private func run(_ arguments: [String]) throws -> ToolResult {
            try runTool(try ProcessUnderTest.locate("martlet").path, ["bench"] + arguments, within: 60)
        }

        @Test("Two ways to a service are measured in turns and reported beside each other")
        func report() throws {
            let origin = try HTTPPeer()
            let url = "http://127.0.0.1:\(origin.port)/orders?id=1"
            let result = try run([
                "--direct", url, "--through", url, "--host", "orders.default", "--connections", "2", "--rate",
                "50",
                "--seconds", "0.3", "--rounds", "1", "-o", "json",
            ])
            #expect(result.status == 0, "\(result.errors)")
            let report = try JSONDecoder().decode(
                [String: [String: Double]].self, from: Data(result.output.utf8))
            for way in ["direct", "through"] {
                #expect((report[way]?["requestsPerSecond"] ?? 0) > 0 && (report[way]?["p99"] ?? 0) > 0)
            }
            let hosts = Set(origin.requests.flatMap { $0.message.values(of: "host") })
            #expect(hosts == ["127.0.0.1:\(origin.port)", "orders.default"])
        }

        @Test("Answers that are errors are no measurement")
        func errors() throws {
            let origin = try HTTPPeer(503)
            let url = "http://127.0.0.1:\(origin.port)"
            let result = try run(["--direct", url, "--through", url, "--seconds", "0.2", "--rounds", "1"])
            #expect(result.status == 1)
            #expect(result.errors.contains("not all requests succeeded"))
        }

        @Test(
            "What is no http URL is bad usage", arguments: ["https://localhost/", "localhost:80", "http://"])
        func usage(url: String) throws {
            let result = try run(["--direct", url, "--through", "http://127.0.0.1:1/"])
            #expect(result.status == 2)
            #expect(result.errors.contains("is not a URL"))
        }
    }
}
