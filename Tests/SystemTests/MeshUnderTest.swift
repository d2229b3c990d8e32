import Foundation
import TestSupport

/// The control plane on a folder of resources, ready.
final class ControlUnderTest {
    let directory: TemporaryDirectory
    let resources: TemporaryDirectory
    private(set) var process: ProcessUnderTest
    private(set) var ports: [String: String] = [:]

    /// `files` are names and texts of the resources.
    init(_ files: [String: String]) throws {
        directory = try TemporaryDirectory()
        resources = try TemporaryDirectory()
        for (name, text) in files { try resources.write(text, to: name) }
        process = try Self.start(directory, resources, ports: [:])
        try becomeReady()
    }

    private static func start(
        _ directory: TemporaryDirectory, _ resources: TemporaryDirectory, ports: [String: String]
    ) throws -> ProcessUnderTest {
        try? FileManager.default.removeItem(atPath: directory.path("ports"))
        func address(_ name: String) -> String { ports[name] ?? "127.0.0.1:0" }
        return try ProcessUnderTest(
            "martlet-control",
            [
                "--config", resources.url.path, "--data-dir", directory.path("data"), "--xds-address",
                address("xds"),
                "--ca-address", address("ca"), "--xds-tls-address", address("xds_tls"), "--http-address",
                address("http"),
                "--ports-file", directory.path("ports"),
            ], in: directory)
    }

    private func becomeReady() throws {
        ports = try PortsFile.parse(try process.waitForFile(directory.path("ports"), within: 20))
        try eventually("/readyz of the control plane\n\(process.logTail)", within: 20) {
            try get("/readyz").status == 200 ? true : nil
        }
    }

    /// Ends it and starts it again on the same ports.
    func restart() throws {
        process.signal(SIGTERM)
        _ = try process.exitStatus(within: 10)
        process = try Self.start(directory, resources, ports: ports)
        try becomeReady()
    }

    var httpPort: UInt16 { PortsFile.port(ports["http"]) }
    var url: String { "http://\(ports["http"] ?? "")" }
    var trustBundle: String { directory.path("data/trust-bundle.pem") }

    func get(_ path: String) throws -> HTTPMessage {
        try fetch(port: httpPort, "GET", path, host: "127.0.0.1")
    }

    func json(_ path: String) throws -> [String: Any] {
        let answer = try get(path)
        guard let object = try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any] else {
            throw TestFailure("\(path) answers \(answer.firstLine): \(answer.text)\n\(process.logTail)")
        }
        return object
    }

    var revision: Int { get throws { try json("/api/v1/proxies")["revision"] as? Int ?? 0 } }

    /// Whether `count` proxies are connected and have all acknowledged `revision`.
    func haveAcknowledged(_ count: Int, revision: Int) throws -> Bool {
        let state = try json("/api/v1/proxies")
        guard let now = state["revision"] as? Int, now >= revision,
            let proxies = state["proxies"] as? [[String: Any]]
        else {
            return false
        }
        return proxies.count == count
            && proxies.allSatisfy { proxy in
                let types = proxy["types"] as? [[String: Any]] ?? []
                return proxy["revisionAcknowledged"] as? Int ?? 0 >= revision
                    && types.allSatisfy { $0["isInStep"] as? Bool == true }
            }
    }

    /// The operator's command line, told where the control plane is and with the right to write.
    func martlet(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let output = directory.path("martlet-\(UUID().uuidString.prefix(6))")
        let process = try ProcessUnderTest(
            "martlet", arguments, in: directory, name: (output as NSString).lastPathComponent,
            environment: [
                "MARTLET_CONTROL_URL": url, "MARTLET_ADMIN_TOKEN_FILE": directory.path("data/admin-token"),
            ])
        return (try process.exitStatus(within: 10), process.log)
    }

    /// A join token for a service.
    func makeToken(_ service: String) throws -> String {
        let result = try martlet(["token", "create", service])
        guard result.status == 0, let token = result.output.split(separator: "\n").last else {
            throw TestFailure("martlet token create \(service): \(result.output)\n\(process.logTail)")
        }
        return String(token)
    }
}

/// A sidecar that joins the mesh for one application port.
final class SidecarUnderTest {
    let process: ProcessUnderTest
    let directory: TemporaryDirectory
    let service: String
    private let app: UInt16

    init(
        _ service: String, app: UInt16, control: ControlUnderTest, token: String? = nil, name: String? = nil,
        in existing: TemporaryDirectory? = nil, inbound: UInt16 = 0, outbound: UInt16 = 0,
        settings: String = ""
    ) throws {
        (self.service, self.app) = (service, app)
        directory = try existing ?? TemporaryDirectory()
        let token = try directory.write(token ?? control.makeToken("default/\(service)"), to: "token")
        chmod(token, 0o600)
        let file = try directory.write(
            """
            control: 127.0.0.1
            xds-port: \(PortsFile.port(control.ports["xds_tls"]))
            ca-port: \(PortsFile.port(control.ports["ca"]))
            service: default/\(service)
            app: [{port: \(app), protocol: http}]
            token-file: \(token)
            trust-bundle: \(control.trustBundle)
            address: 127.0.0.1
            admin: 127.0.0.1:0
            inbound: 127.0.0.1:\(inbound)
            outbound: 127.0.0.1:\(outbound)
            health: 127.0.0.1:0
            metrics: 127.0.0.1:0
            ports-file: \(directory.path("ports"))
            cache-dir: \(directory.path("cache"))
            intercept: none
            \(settings)
            """, to: "mesh.yaml")
        process = try ProcessUnderTest(
            "martlet-proxy", ["--mesh", file, "--concurrency", "1", "--log-level", "debug"], in: directory,
            name: name ?? "\(service)-sidecar")
    }

    /// Ends it, lets `change` at its files, and starts it again with what it had.
    func restarted(
        control: ControlUnderTest, change: (TemporaryDirectory) throws -> Void = { _ in }
    ) throws -> SidecarUnderTest {
        let (inbound, outbound) = (try inboundPort(), try port("outbound"))
        process.signal(SIGTERM)
        _ = try process.exitStatus(within: 10)
        try? FileManager.default.removeItem(atPath: directory.path("ports"))
        try change(directory)
        return try SidecarUnderTest(
            service, app: app, control: control, token: "spent", name: "\(service)-restarted", in: directory,
            inbound: inbound, outbound: outbound)
    }

    func becomeReady() throws {
        _ = try process.waitForFile(directory.path("ports"), within: 20)
        try eventually("the sidecar of \(service) to be ready\n\(process.logTail)", within: 20) {
            try fetch(port: port("admin"), "GET", "/ready").status == 200 ? true : nil
        }
    }

    func port(_ name: String) throws -> UInt16 {
        PortsFile.port(try PortsFile.parse(directory.read("ports") ?? "")[name])
    }

    /// Where other sidecars dial the application.
    func inboundPort() throws -> UInt16 {
        let ports = try PortsFile.parse(directory.read("ports") ?? "")
        if let own = ports.first(where: { $0.key.hasPrefix("inbound") && $0.key.hasSuffix("\(app)") }) {
            return PortsFile.port(own.value)
        }
        let listed = try fetch(port: port("admin"), "GET", "/listeners").text
        guard let line = listed.split(separator: "\n").first(where: { $0.hasPrefix("inbound") }) else {
            throw TestFailure("no inbound listener of \(service): \(listed)\n\(process.logTail)")
        }
        return PortsFile.port(String(line))
    }

    /// A request of the application to another service.
    func call(
        _ host: String, _ method: String = "GET", _ path: String = "/", fields: [(String, String)] = [],
        body: String? = nil
    ) throws -> HTTPMessage {
        do {
            return try fetch(port: port("outbound"), method, path, host: host, fields: fields, body: body)
        } catch {
            throw TestFailure("\(error)\n\(process.logTail)")
        }
    }
}

/// Names and HOST:PORT of a ports file: a JSON object, or lines `name: HOST:PORT`.
enum PortsFile {
    static func parse(_ text: String) throws -> [String: String] {
        if let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] {
            return object.compactMapValues { $0 as? String ?? ($0 as? [String])?.first }
        }
        var result: [String: String] = [:]
        for line in text.split(separator: "\n") {
            guard let colon = line.range(of: ": ") else { continue }
            result[line[..<colon.lowerBound].trimmingCharacters(in: .whitespaces)] =
                line[colon.upperBound...].trimmingCharacters(in: CharacterSet(charactersIn: " \""))
        }
        return result
    }

    /// 0 where there is none.
    static func port(_ address: String?) -> UInt16 {
        (address?.split(separator: ":").last).flatMap {
            UInt16($0.trimmingCharacters(in: .whitespacesAndNewlines))
        } ?? 0
    }
}
