import Foundation
import MeshConfig
import Testing

/// Every folder of `mesh-config/examples` is a mesh that is accepted.
@Suite struct ExampleMeshTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "mesh-config/examples")

    static let names = ((try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? []).sorted()

    @Test("An example is accepted", arguments: names)
    func accepted(name: String) throws {
        let folder = Self.root.appending(path: name)
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        let sources = try files.filter { $0.hasSuffix(".yaml") }.map {
            MeshSpecification.Source(
                name: $0, bytes: [UInt8](try Data(contentsOf: folder.appending(path: $0))))
        }
        #expect(try !MeshSpecification.read(sources).resources.isEmpty)
    }
}
