import Foundation
import MeshConfig
import Testing

/// Every folder of `mesh-config/invalid` is refused with the message beside it.
@Suite struct InvalidMeshTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "mesh-config/invalid")

    static let names = ((try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? []).sorted()

    @Test("An invalid mesh is refused with the message that is written beside it", arguments: names)
    func refused(name: String) throws {
        let folder = Self.root.appending(path: name)
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        let sources = try files.filter { $0.hasSuffix(".yaml") }.map {
            MeshSpecification.Source(
                name: $0, bytes: [UInt8](try Data(contentsOf: folder.appending(path: $0))))
        }
        let expected = try String(contentsOf: folder.appending(path: "expected.txt"), encoding: .utf8)
        do {
            let specification = try MeshSpecification.read(sources)
            Issue.record("\(name) was accepted with \(specification.resources.count) resources")
        } catch {
            #expect(error.description + "\n" == expected)
        }
    }

    @Test("There are at least twenty invalid meshes")
    func count() {
        #expect(Self.names.count >= 20)
    }
}
