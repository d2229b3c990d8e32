import Foundation
import MeshConfig
import Testing

@testable import ResourceStore

@Suite struct RevisionLogTests {
    private func specification(_ names: String...) throws -> MeshSpecification {
        try MeshSpecification.read(names.map { .init(name: "\($0).yaml", bytes: Array(service($0).utf8)) })
    }

    private func id(_ name: String) -> ResourceID {
        ResourceID(kind: .service, namespace: "default", name: name)
    }

    @Test("A name that was deleted and comes back is young again")
    func age() throws {
        var log = RevisionLog()
        _ = log.accept(try specification("a", "b"), at: .now)
        _ = log.accept(try specification("a"), at: .now)
        #expect(log.firstSeen == [id("a"): 1])
        let entry = log.accept(try specification("a", "b"), at: .now)
        #expect(entry?.changes == [.init(action: .created, id: id("b"))])
        #expect(log.firstSeen == [id("a"): 1, id("b"): 3])
    }

    @Test("The history is bounded, the numbers go on")
    func bounded() throws {
        var log = RevisionLog()
        let (one, two) = (try specification("a"), try specification("b"))
        for index in 0..<(RevisionLog.entriesMax + 10) {
            _ = log.accept(index % 2 == 0 ? one : two, at: .now)
        }
        #expect(log.entries.count == RevisionLog.entriesMax)
        #expect(log.entries.last?.revision == RevisionLog.entriesMax + 10)
    }

    @Test("What is stored is read back")
    func stored() throws {
        var log = RevisionLog()
        _ = log.accept(try specification("a", "b"), at: Date(timeIntervalSince1970: 1))
        _ = log.accept(try specification("b"), at: Date(timeIntervalSince1970: 2))
        let copy = try RevisionLog(decoding: log.encoded())
        #expect(copy.entries == log.entries)
        #expect(copy.firstSeen == log.firstSeen)
        #expect(copy.revision == 2)
    }
}
