import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// Sidecars that start while the control plane is away.
    @Suite("Restart")
    struct RestartTests {
        private static func saved(_ sidecar: SidecarUnderTest) throws -> Data {
            let path = sidecar.directory.path("cache/configuration")
            return try eventually("the saved configuration\n\(sidecar.process.logTail)") {
                try? Data(contentsOf: URL(fileURLWithPath: path))
            }
        }

        @Test("Without a control plane a sidecar starts with what it had, and serves")
        func savedStart() throws {
            let mesh = try MeshTests.Mesh(policies: MeshTests.strict)
            _ = try Self.saved(mesh.portalSidecar)
            mesh.control.process.signal(SIGKILL)
            _ = try mesh.control.process.exitStatus()
            let portal = try mesh.portalSidecar.restarted(control: mesh.control)
            try portal.becomeReady()
            #expect(
                try portal.call("orders.default", "GET", "/2").text == "order /2", "\(portal.process.logTail)"
            )
            #expect(portal.process.log.contains("the configuration of an earlier run is used"))
            try mesh.control.restart()
            let revision = try mesh.control.revision
            try eventually("both sidecars to be in step\n\(portal.process.logTail)", within: 30) {
                try mesh.control.haveAcknowledged(2, revision: revision) ? true : nil
            }
        }

        @Test("A saved configuration that somebody has changed is refused, with the reason in the log")
        func tampered() throws {
            let mesh = try MeshTests.Mesh(policies: MeshTests.strict)
            var bytes = try Self.saved(mesh.portalSidecar)
            // Somewhere in a listener or a cluster: another port of the loopback address.
            let address = try #require(bytes.range(of: Data("127.0.0.1".utf8), options: .backwards))
            bytes[address.upperBound - 1] = UInt8(ascii: "2")
            mesh.control.process.signal(SIGKILL)
            _ = try mesh.control.process.exitStatus()
            let portal = try mesh.portalSidecar.restarted(control: mesh.control) { directory in
                // At its end it saves what is in force.
                try bytes.write(to: URL(fileURLWithPath: directory.path("cache/configuration")))
            }
            try eventually("the refusal\n\(portal.process.logTail)") {
                portal.process.log.contains("is not what the control plane signed") ? true : nil
            }
            _ = try portal.process.waitForFile(portal.directory.path("ports"), within: 20)
            // A good one is used as soon as the control plane cannot be reached.
            try eventually("an attempt at the control plane") {
                portal.process.log.contains("discovery stream not opened") ? true : nil
            }
            usleep(500_000)
            let ready = try fetch(port: portal.port("admin"), "GET", "/ready")
            #expect(ready.status == 503, "\(ready)\n\(portal.process.logTail)")
            #expect(!portal.process.log.contains("the configuration of an earlier run is used"))
            try mesh.control.restart()
            try portal.becomeReady()
            #expect(try portal.call("orders.default").status == 200, "\(portal.process.logTail)")
        }
    }
}
