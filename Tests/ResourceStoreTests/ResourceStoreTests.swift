import Foundation
import Logging
import MeshConfig
import Synchronization
import Testing

@testable import ResourceStore

/// A folder of files that goes away with the test.
final class TemporaryMesh: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)").path

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws {
        let file = URL(filePath: "\(path)/\(name)")
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: "\(path)/\(name)") }
}

func service(_ name: String, port: Int = 80) -> String {
    "apiVersion: martlet.mesh/v1\nkind: Service\nmetadata: {name: \(name)}\nspec: {ports: [{port: \(port)}]}\n"
}

/// Keeps what a store last stored.
final class Memory: Sendable {
    private let data = Mutex<Data?>(nil)

    var value: Data? { data.withLock { $0 } }

    func store(_ value: Data) { data.withLock { $0 = value } }
}

@Suite(.timeLimit(.minutes(1))) struct ResourceStoreTests {
    let mesh: TemporaryMesh
    let memory = Memory()
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init() throws { mesh = try TemporaryMesh() }

    private func store() throws -> ResourceStore {
        let memory = memory
        return try ResourceStore(ConfigDirectory([mesh.path]), state: memory.value, logger: logger) {
            memory.store($0)
        }
    }

    @Test("Every YAML file below the folder is read, and nothing else")
    func recursive() async throws {
        try mesh.write("a.yaml", service("a"))
        try mesh.write("deep/er/b.yml", service("b"))
        try mesh.write("note.txt", "not: [yaml")
        try mesh.write(".hidden.yaml", "not: [yaml")
        let names = try await store().snapshot.specification.services.keys.map(\.name).sorted()
        #expect(names == ["a", "b"])
    }

    @Test("A change on disk becomes a revision within a moment, and says what changed")
    func watching() async throws {
        try mesh.write("a.yaml", service("a"))
        try mesh.write("b.yaml", service("b"))
        let store = try store()
        let watcher = Task { await store.watch() }
        defer { watcher.cancel() }
        var snapshots = await store.snapshots().makeAsyncIterator()
        #expect(await snapshots.next()?.revision == 1)
        let start = ContinuousClock.now
        try mesh.write("a.yaml", service("a", port: 81))
        let changed = try #require(await snapshots.next())
        #expect(ContinuousClock.now - start < .seconds(1))
        #expect(changed.revision == 2)
        #expect(
            await store.revisions.last?.changes
                == [.init(action: .changed, id: .init(kind: .service, namespace: "default", name: "a"))])
        try mesh.remove("b.yaml")
        #expect(await snapshots.next()?.specification.services.count == 1)
    }

    @Test("A broken file changes nothing and is reported; a repaired one clears the report")
    func broken() async throws {
        try mesh.write("a.yaml", service("a"))
        let store = try store()
        let watcher = Task { await store.watch() }
        defer { watcher.cancel() }
        var snapshots = await store.snapshots().makeAsyncIterator()
        _ = await snapshots.next()
        try mesh.write("b.yaml", service("B"))
        while await store.refusal == nil { await Task.yield() }
        let refusal = try #require(await store.refusal)
        #expect(refusal.errors.count == 1)
        #expect(refusal.errors[0].hasPrefix("\(mesh.path)/b.yaml:3:18: metadata.name: "))
        #expect(await store.snapshot.revision == 1)
        try mesh.write("b.yaml", service("b"))
        #expect(await snapshots.next()?.revision == 2)
        #expect(await store.refusal == nil)
    }

    @Test("A set that is wrong at the start is refused with every error")
    func brokenAtStart() throws {
        try mesh.write("a.yaml", service("A") + "---\n" + service("B"))
        #expect {
            try store()
        } throws: { error in
            (error as? ConfigErrors)?.errors.count == 2
        }
    }

    @Test("A folder that is not there is refused by its name")
    func missing() {
        #expect(throws: ConfigDirectory.Unreadable.self) { try ConfigDirectory(["/nowhere"]).read() }
    }

    @Test("Revisions go on after a restart, and an unchanged mesh makes none")
    func restart() async throws {
        try mesh.write("a.yaml", service("a"))
        #expect(try await store().snapshot.revision == 1)
        #expect(try await store().snapshot.revision == 1)
        // Other place, same words: nothing changed.
        try mesh.write("a.yaml", "# a comment\n" + service("a"))
        #expect(try await store().snapshot.revision == 1)
        try mesh.write("b.yaml", service("b"))
        let snapshot = try await store().snapshot
        #expect(snapshot.revision == 2)
        #expect(snapshot.firstSeen[.init(kind: .service, namespace: "default", name: "a")] == 1)
        #expect(snapshot.firstSeen[.init(kind: .service, namespace: "default", name: "b")] == 2)
    }
}
