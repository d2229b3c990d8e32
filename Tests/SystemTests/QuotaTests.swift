import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// One limit over three sidecars, which the control plane divides among them.
    @Suite("Mesh-wide limits")
    struct QuotaTests {
        /// Requests a second.
        private static let limit = 200

        /// Three instances of orders with one application, and what callers send to each.
        private final class Mesh {
            let control: ControlUnderTest
            let origin: ProcessUnderTest
            let sidecars: [SidecarUnderTest]

            init() throws {
                let directory = try TemporaryDirectory()
                origin = try ProcessUnderTest(
                    "martlet-load", ["origin", "--bytes", "2", "--ports-file", directory.path("ports")],
                    in: directory, name: "origin")
                let app = PortsFile.port(try origin.waitForFile(directory.path("ports")))
                let control = try ControlUnderTest([
                    "mesh.yaml": ControlTests.mesh + ControlTests.service("orders", app) + """
                        ---
                        apiVersion: martlet.mesh/v1
                        kind: RateLimitPolicy
                        metadata: {name: orders}
                        spec:
                          targetRef: {kind: Service, name: orders}
                          global: {requests: \(limit), per: 1s, onFailure: lastShare}

                        """
                ])
                self.control = control
                sidecars = try (0..<3).map {
                    try SidecarUnderTest("orders", app: app, control: control, name: "orders-\($0)")
                }
                for sidecar in sidecars { try sidecar.becomeReady() }
                for sidecar in sidecars {
                    let port = try sidecar.inboundPort()
                    try eventually("orders behind \(port)\n\(logs)", within: 15) {
                        try fetch(port: port, "GET", "/2").status == 200 ? true : nil
                    }
                }
            }

            /// What came through each sidecar in a second, of so much that was sent to it, after `settling` seconds.
            func passed(of demands: [Double], settling: Double, seconds: Double) throws -> [Double] {
                let loads = try zip(sidecars, demands).map { sidecar, demand in
                    try ProcessUnderTest(
                        "martlet-load",
                        [
                            "--target", "127.0.0.1:\(sidecar.inboundPort())", "--path", "/2",
                            "--connections", "4", "--rate", "\(max(1, Int(demand * Double(limit))))",
                            "--duration", "\(seconds)", "--warmup", "\(settling)", "--json",
                        ], in: sidecar.directory, name: "load")
                }
                return try loads.map { load in
                    let status = try load.exitStatus(within: settling + seconds + 10)
                    guard status == 0, load.log.contains("\"status\":{") else {
                        throw TestFailure("\(status): \(load.logTail)\n\(logs)")
                    }
                    let count = load.log.firstMatch(of: /"2xx":(\d+)/).flatMap { Double($0.1) }
                    return (count ?? 0) / seconds
                }
            }

            var logs: String {
                ([control.process, origin] + sidecars.map(\.process)).map(\.logTail).joined(separator: "\n")
            }
        }

        @Test(
            "One limit holds over all sidecars: under skewed load, after a shift, and without control plane")
        func limitOfTheMesh() throws {
            let mesh = try Mesh()
            // 5 % are promised; the rest is for a machine on which something else runs. Equal parts that do not move would
            // let 0.6 of the limit through, and sidecars that do not know of each other 1.25 or more.
            func expect(_ passed: [Double], _ what: String, atLeast: Double = 0.91, atMost: Double = 1.07) {
                let share = passed.reduce(0, +) / Double(Self.limit)
                #expect(share >= atLeast && share <= atMost, "\(what): \(passed)\n\(mesh.logs)")
            }
            expect(try mesh.passed(of: [2, 0.2, 0.05], settling: 2, seconds: 3), "skewed")
            // The shift itself costs some tenths of a second of one sidecar's share.
            expect(
                try mesh.passed(of: [0.05, 0.2, 2], settling: 0, seconds: 3), "shifting", atLeast: 0.75,
                atMost: 1.1)
            let status = try mesh.control.json("/api/v1/quotas")
            let quota = try #require((status["items"] as? [[String: Any]])?.first, "\(status)")
            let shares = quota["shares"] as? [[String: Any]] ?? []
            #expect(
                quota["limitPerSecond"] as? Double == Double(Self.limit) && shares.count == 3, "\(status)")
            #expect(try mesh.control.get("/metrics").text.contains("martlet_control_quota_share{"))
            #expect(try mesh.control.martlet(["status"]).output.contains("service all"))
            // What was handed out last goes on and does not move: the limit holds, and who was quiet stays so.
            mesh.control.process.signal(SIGTERM)
            #expect(try mesh.control.process.exitStatus(within: 5) == 0)
            let alone = try mesh.passed(of: [2, 0.2, 2], settling: 1, seconds: 3)
            expect(alone, "the control plane away")
            #expect(alone[0] < 0.3 * Double(Self.limit), "\(alone)\n\(mesh.logs)")
        }
    }
}
