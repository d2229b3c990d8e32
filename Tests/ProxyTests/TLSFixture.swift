import Foundation
import MeshModel
import MeshPrimitives
import TestSupport

@testable import Proxy

/// Certificates of one test, and the settings made of them.
struct TLSFixture {
    let directory: TemporaryDirectory
    let certificates: Certificates

    init() throws {
        directory = try TemporaryDirectory()
        certificates = Certificates(in: directory)
        try certificates.makeAuthority("root")
    }

    func leaf(_ name: String, by authority: String = "root") throws -> Certificates.Leaf {
        try certificates.makeLeaf(name, by: authority, uri: "spiffe://mesh/\(name)", dns: "localhost")
    }

    var root: String { directory.path("root.pem") }

    func settings(
        _ leaf: Certificates.Leaf?, alpn: [String] = [], verifies: Bool = true, names: [String] = []
    ) throws -> TLSSettings {
        var settings = TLSSettings()
        if let leaf {
            settings.identity = KeyMaterial(
                certificateChainPEM: Array(try Data(contentsOf: URL(fileURLWithPath: leaf.certificate))),
                privateKeyPEM: Array(try Data(contentsOf: URL(fileURLWithPath: leaf.key))))
        }
        if verifies {
            settings.trustBundlePEM = Array(try Data(contentsOf: URL(fileURLWithPath: root)))
        }
        settings.alpn = alpn
        settings.subjectNames = names.map { SubjectNameMatch(kind: .uri, match: StringMatch(.exact($0))) }
        return settings
    }
}

/// What curl said, with the code that it prints after the body.
func curl(_ arguments: String...) throws -> (status: Int, body: String) {
    let result = try runTool("curl", ["-sS", "-m", "10", "-w", "\n%{http_version} %{http_code}"] + arguments)
    guard result.status == 0 else { throw TestFailure("curl: \(result.status) \(result.errors)") }
    var lines = result.output.components(separatedBy: "\n")
    let last = lines.removeLast().split(separator: " ")
    guard last.count == 2, let status = Int(last[1]) else { throw TestFailure("curl: \(result.output)") }
    return (status, lines.joined(separator: "\n") + "|" + last[0])
}
