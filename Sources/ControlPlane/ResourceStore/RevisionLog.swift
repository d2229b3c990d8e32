import Crypto
import Foundation
import MeshConfig

/// The history of a store: what changed in which revision, and since when each name is known.
public struct RevisionLog: Sendable {
    public enum Action: String, Sendable, Codable { case created, changed, deleted }

    public struct Change: Sendable, Equatable {
        public let action: Action
        public let id: ResourceID
    }

    public struct Entry: Sendable, Equatable {
        public let revision: Int
        public let time: Date
        public let changes: [Change]
    }

    /// Older entries are forgotten; the age of a name is not.
    static let entriesMax = 500

    public private(set) var revision = 0
    public private(set) var entries: [Entry] = []
    public private(set) var firstSeen: [ResourceID: Int] = [:]
    /// What each resource said in the present revision.
    private var digests: [ResourceID: String] = [:]

    public init() {}

    /// Compares with the present revision; `nil` if nothing changed.
    public mutating func accept(_ specification: MeshSpecification, at time: Date) -> Entry? {
        var changes: [Change] = []
        var current: [ResourceID: String] = [:]
        for resource in specification.resources {
            let digest = Self.digest(resource.document)
            current[resource.id] = digest
            switch digests[resource.id] {
            case nil: changes.append(Change(action: .created, id: resource.id))
            case digest: break
            case .some: changes.append(Change(action: .changed, id: resource.id))
            }
        }
        for id in digests.keys.sorted() where current[id] == nil {
            changes.append(Change(action: .deleted, id: id))
        }
        // The very first load is a revision even if the mesh is empty.
        guard !changes.isEmpty || revision == 0 else { return nil }
        revision += 1
        digests = current
        for change in changes {
            switch change.action {
            case .created: firstSeen[change.id] = revision
            case .changed: break
            // A name that comes back is new: its place may have been taken.
            case .deleted: firstSeen[change.id] = nil
            }
        }
        let entry = Entry(revision: revision, time: time, changes: changes)
        entries.append(entry)
        entries.removeFirst(max(0, entries.count - Self.entriesMax))
        return entry
    }

    private static func digest(_ document: YAMLNode) -> String {
        var hash = SHA256()
        func update(_ node: YAMLNode) {
            switch node.content {
            case .scalar(let text, let isPlain):
                hash.update(data: Data("\(isPlain ? "p" : "q")\(text.utf8.count):\(text)".utf8))
            case .sequence(let elements):
                hash.update(data: Data("[\(elements.count)".utf8))
                elements.forEach(update)
            case .mapping(let entries):
                hash.update(data: Data("{\(entries.count)".utf8))
                for entry in entries {
                    hash.update(data: Data("\(entry.key.utf8.count):\(entry.key)".utf8))
                    update(entry.value)
                }
            }
        }
        update(document)
        return Data(hash.finalize()).base64EncodedString()
    }
}

// MARK: On disk

extension RevisionLog {
    private struct Name: Codable {
        let kind: ResourceKind
        let namespace: String
        let name: String

        init(_ id: ResourceID) { (kind, namespace, name) = (id.kind, id.namespace, id.name) }

        var id: ResourceID { ResourceID(kind: kind, namespace: namespace, name: name) }
    }

    private struct Stored: Codable {
        struct Resource: Codable {
            let name: Name
            let firstSeen: Int
            let digest: String
        }

        struct Change: Codable {
            let action: Action
            let name: Name
        }

        struct Entry: Codable {
            let revision: Int
            let time: Date
            let changes: [Change]
        }

        let revision: Int
        let resources: [Resource]
        let entries: [Entry]
    }

    init(decoding data: Data) throws {
        let stored = try JSONDecoder().decode(Stored.self, from: data)
        revision = stored.revision
        for resource in stored.resources {
            firstSeen[resource.name.id] = resource.firstSeen
            digests[resource.name.id] = resource.digest
        }
        entries = stored.entries.map { entry in
            Entry(
                revision: entry.revision, time: entry.time,
                changes: entry.changes.map { Change(action: $0.action, id: $0.name.id) })
        }
    }

    func encoded() throws -> Data {
        let resources = digests.keys.sorted().map { id in
            Stored.Resource(name: Name(id), firstSeen: firstSeen[id] ?? revision, digest: digests[id] ?? "")
        }
        let entries = entries.map { entry in
            Stored.Entry(
                revision: entry.revision, time: entry.time,
                changes: entry.changes.map { Stored.Change(action: $0.action, name: Name($0.id)) })
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return try encoder.encode(Stored(revision: revision, resources: resources, entries: entries))
    }
}
